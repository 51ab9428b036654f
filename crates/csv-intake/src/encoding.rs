//! Bytes into UTF-8, and what is no text at all recognised by its first bytes.
//!
//! UTF-16 is decoded here; UTF-8 is passed on as it is and checked where rows are made, because
//! only there a complaint can name row and column. What is invalid in UTF-16 is passed on as
//! [`INVALID`], so that the same check finds it. All bytes are hashed on their way.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE};
use sha2::{Digest as _, Sha256};

use super::Digest;

/// Bytes read at once; more does not make it faster.
const CHUNK: usize = 64 << 10;

/// So much room for decoded text is needed to be sure of progress.
pub(super) const LEAST_ROOM: usize = 1 << 10;

/// A byte that no UTF-8 has.
const INVALID: u8 = 0xFF;

/// What a file that is no CSV seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seems {
    /// The zip that a workbook is.
    Workbook,
    /// The format of Excel before 2007.
    OldWorkbook,
    /// Compressed.
    Gzip,
    /// For printing.
    Pdf,
    /// UTF-16 that does not say so.
    Utf16,
    /// An encoding that nothing writes CSV in.
    Utf32,
    /// Something else with NUL bytes.
    Binary,
}

impl fmt::Display for Seems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workbook => "a workbook (.xlsx, .ods) or another zip archive; open it and save the sheet as “CSV UTF-8”",
            Self::OldWorkbook => {
                "a workbook of an old Excel (.xls); open it and save the sheet as “CSV UTF-8”"
            }
            Self::Gzip => "compressed with gzip; unpack it first",
            Self::Pdf => "a PDF; export the table as CSV instead",
            Self::Utf16 => {
                "UTF-16 without a byte order mark; save it as UTF-8, or as UTF-16 with the mark"
            }
            Self::Utf32 => "UTF-32; save it as UTF-8",
            Self::Binary => "no text: there are NUL bytes in its first line; save it as “CSV UTF-8”",
        })
    }
}

/// How a file's text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// Tells from the first bytes how they are encoded, and how many of them are the mark that says so.
fn recognise(start: &[u8]) -> Result<(Encoding, usize), Seems> {
    match start {
        [0xEF, 0xBB, 0xBF, ..] => Ok((Encoding::Utf8, 3)),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Err(Seems::Utf32),
        [0xFF, 0xFE, ..] => Ok((Encoding::Utf16Le, 2)),
        [0xFE, 0xFF, ..] => Ok((Encoding::Utf16Be, 2)),
        [b'P', b'K', 3, 4, ..] => Err(Seems::Workbook),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => Err(Seems::OldWorkbook),
        [0x1F, 0x8B, ..] => Err(Seems::Gzip),
        [b'%', b'P', b'D', b'F', b'-', ..] => Err(Seems::Pdf),
        [..] => without_a_mark(start),
    }
}

/// A NUL in a row is a complaint about that row; in the first line it says that the whole is
/// something else.
fn without_a_mark(start: &[u8]) -> Result<(Encoding, usize), Seems> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let first = start.iter().position(|byte| !is_end(byte)).unwrap_or(0);
    let line = &start[first..];
    let line = &line[..line.iter().position(is_end).unwrap_or(line.len())];
    let (mut even, mut odd) = (0, 0);
    for (at, _) in line.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        *(if at % 2 == 0 { &mut even } else { &mut odd }) += 1;
    }
    // In UTF-16 each ASCII character has a NUL, always on the same side of it.
    match (even, odd) {
        (0, 0) => Ok((Encoding::Utf8, 0)),
        (0, nuls) | (nuls, 0) if nuls * 4 >= line.len() => Err(Seems::Utf16),
        (_, _) => Err(Seems::Binary),
    }
}

/// Why there is no text.
#[derive(Debug)]
pub(super) enum Failure {
    Read(io::Error),
    NotCsv(Seems),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// The text of a file as it comes, in UTF-8 as far as it is valid.
pub(super) struct Text<R> {
    input: R,
    hash: Sha256,
    encoding: Encoding,
    /// For what is not UTF-8; gone when it has given its last.
    decoder: Option<Decoder>,
    /// Bytes read and not yet given away: those between the two marks.
    raw: Vec<u8>,
    next: usize,
    end: usize,
    at_end: bool,
}

impl<R: Read> Text<R> {
    /// Reads as much as tells the encoding.
    pub(super) fn open(input: R) -> Result<Self, Failure> {
        let mut text = Self {
            input,
            hash: Sha256::new(),
            encoding: Encoding::Utf8,
            decoder: None,
            raw: vec![0; CHUNK],
            next: 0,
            end: 0,
            at_end: false,
        };
        while text.end < CHUNK && !text.at_end {
            text.read()?;
        }
        let (encoding, mark) = recognise(&text.raw[..text.end]).map_err(Failure::NotCsv)?;
        text.encoding = encoding;
        text.next = mark;
        text.decoder = match encoding {
            Encoding::Utf8 => None,
            Encoding::Utf16Le => Some(UTF_16LE.new_decoder_without_bom_handling()),
            Encoding::Utf16Be => Some(UTF_16BE.new_decoder_without_bom_handling()),
        };
        Ok(text)
    }

    /// How it was encoded.
    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Writes more text into `room`, which holds at least [`LEAST_ROOM`]; nothing at the end of the
    /// file.
    pub(super) fn fill(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.next == self.end && !self.at_end {
                (self.next, self.end) = (0, 0);
                self.read()?;
                continue;
            }
            let raw = &self.raw[self.next..self.end];
            let Some(decoder) = &mut self.decoder else {
                let count = raw.len().min(room.len());
                room[..count].copy_from_slice(&raw[..count]);
                self.next += count;
                return Ok(count);
            };
            // One byte is kept for what is invalid.
            let last = room.len() - 1;
            let (result, taken, mut written) =
                decoder.decode_to_utf8_without_replacement(raw, &mut room[..last], self.at_end);
            self.next += taken;
            match result {
                // The decoder must not be asked after its end.
                DecoderResult::InputEmpty if self.at_end => {
                    self.decoder = None;
                    return Ok(written);
                }
                DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
                DecoderResult::Malformed(_, _) => {
                    room[written] = INVALID;
                    written += 1;
                }
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }

    /// The SHA-256 of all bytes, those that nobody has asked for included.
    pub(super) fn finish(mut self) -> io::Result<Digest> {
        while !self.at_end {
            self.end = 0;
            self.read()?;
        }
        Ok(self.hash.finalize().into())
    }

    /// Reads behind what is there.
    fn read(&mut self) -> io::Result<()> {
        let count = loop {
            match self.input.read(&mut self.raw[self.end..]) {
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        self.hash.update(&self.raw[self.end..self.end + count]);
        self.end += count;
        self.at_end = count == 0;
        Ok(())
    }
}
