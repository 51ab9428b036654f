//! Whether windows beside each other hold all of their time together. A filter that goes by days,
//! or leaves out more at its ends than a window is asked wider, hides people at each border, and
//! each window by itself looks whole. Two things tell: a count of both together, where the server's
//! counts are totals, and somebody whom a larger answer shows.

use super::Source;
use super::part::{PartReader, Stopped};
use super::sightings::{Shown, Sightings};
use super::undated::dated;
use super::window::Window;

/// So often two windows have to count less than both together did before and do after that. People
/// come and go meanwhile: once that may look like somebody between them, where one comes to the
/// first and another one leaves the second in just that order, but not eight times in a row.
const TIMES: usize = 8;

impl<S: Source> PartReader<S> {
    /// Looks for two windows beside each other that leave somebody out between them. `read` are
    /// those that were read, in the order of time, with how many each held. Where all hold as many
    /// as are counted there is nothing to look for; else the place is found by halves.
    ///
    /// # Errors
    /// As the source.
    pub async fn leaves_out_between(
        &self,
        read: &[(Window, u64)],
    ) -> Result<bool, Stopped<S::Error>> {
        let mut part = read;
        if part.len() < 2 || !self.counts_more(part).await? {
            return Ok(false);
        }
        while part.len() > 2 {
            let (earlier, later) = part.split_at(part.len() / 2);
            part = if self.counts_more(earlier).await? {
                earlier
            } else if self.counts_more(later).await? {
                later
            } else {
                let border = earlier.len();
                part.get(border.saturating_sub(1)..=border)
                    .unwrap_or_default()
            };
        }
        // One window alone was looked at before: see `read_short_again`.
        let [(one, _), (other, _)] = part else {
            return Ok(false);
        };
        if one.until.is_none() || one.until != other.from {
            return Ok(false);
        }
        let both = Window {
            from: one.from,
            until: other.until,
        };
        let [one, other, both] = [*one, *other, both].map(with_date);
        let mut before = self.count(both).await?;
        for _ in 0..TIMES {
            let parts = (self.count(one).await?, self.count(other).await?);
            let after = self.count(both).await?;
            let (Some(least), (Some(one), Some(other))) = (before.min(after), parts) else {
                return Ok(false);
            };
            // Both are asked a little wider than they are, so together they count rather more.
            if one + other >= least {
                return Ok(false);
            }
            before = after;
        }
        Ok(true)
    }

    /// Whether the server counts more in the time of these windows than they held.
    pub(super) async fn counts_more(
        &self,
        read: &[(Window, u64)],
    ) -> Result<bool, Stopped<S::Error>> {
        let (Some((first, _)), Some((last, _))) = (read.first(), read.last()) else {
            return Ok(false);
        };
        let all = Window {
            from: first.from,
            until: last.until,
        };
        let held: u64 = read.iter().map(|(_, held)| held).sum();
        let counted = self.count(with_date(all)).await?;
        Ok(counted.is_some_and(|counted| counted > held))
    }

    /// Whether a window leaves out some of these, whom the answer to a larger one shows as
    /// belonging to it: before it is asked once more, and after that. Who was deleted meanwhile, or
    /// registers at another time now, is in no answer.
    ///
    /// # Errors
    /// As the source.
    pub async fn leaves_out(
        &self,
        window: Window,
        larger: Window,
        who: &[Shown],
    ) -> Result<bool, Stopped<S::Error>> {
        let before = self.still_shown(larger, who).await?;
        if before.is_empty() {
            return Ok(false);
        }
        let page = self.first(window).await?;
        if self.may_go_on(&page) {
            return Ok(false);
        }
        let here = Sightings::on(&page);
        let after = self.still_shown(larger, &before).await?;
        Ok(after.iter().any(|shown| !here.shows(*shown)))
    }

    async fn still_shown(
        &self,
        window: Window,
        who: &[Shown],
    ) -> Result<Vec<Shown>, Stopped<S::Error>> {
        let page = self.first(window).await?;
        let shown = page.items.iter().filter_map(Shown::of);
        Ok(shown.filter(|shown| who.contains(shown)).collect())
    }
}

/// The same without those who have no date, whom no window holds for sure.
fn with_date(window: Window) -> Window {
    Window {
        from: window.from.or(dated().from),
        until: window.until,
    }
}
