//! The program, tested the way it is used: by running the binary against the simulator over HTTP and a real Postgres, and by breaking what it promises to
//! survive. One file per promise; `support` starts things.

mod foreign_keys;
mod support;
mod users;
