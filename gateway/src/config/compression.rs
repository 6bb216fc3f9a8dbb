//! `[compression]`: which answers are compressed, and how well.

use std::ops::RangeInclusive;

use todo_shared::config::{ByteSize, Section};

use crate::response::compression::CompressionRule;

pub(super) fn read(section: &Section<'_>) -> Option<CompressionRule> {
    let codings = section.parsed_list("codings");
    let min_size = section.get::<ByteSize>("min_size");
    let types = section.parsed_list("types");
    // Beyond these an encoder takes up to 40 MiB, and milliseconds for each piece in which its thread serves nobody else.
    let zstd = level(section, "zstd_level", 1..=7);
    let brotli = level(section, "br_level", 1..=6);
    let gzip = level(section, "gzip_level", 1..=9);
    let max_concurrent = section.get::<usize>("max_concurrent");
    let codings: Vec<_> = codings?;
    if codings.iter().enumerate().any(|(at, coding)| codings.iter().take(at).any(|other| other == coding)) {
        section.complain("codings", "a coding stands there twice", None);
    }
    if max_concurrent == Some(0) {
        section.complain("max_concurrent", "has to be at least 1", Some("`codings = []` compresses nothing"));
    }
    Some(CompressionRule {
        codings,
        min_size: min_size?.0,
        types: types?,
        levels: [zstd?, brotli?, gzip?],
        max_concurrent: max_concurrent?,
    })
}

fn level(section: &Section<'_>, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
    let level = section.get(key)?;
    if !range.contains(&level) {
        section.complain(key, format!("has to be from {} to {}", range.start(), range.end()), None);
    }
    Some(level)
}
