//! zephr-sync
