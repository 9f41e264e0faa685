//! Texts for people: tables, and single values.

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::escape::escape_short;

/// A table without lines, so that it can be read by `awk` and `grep` too; no wider than what is in
/// it. The cells are made harmless and, if they are very long, cut.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| escape_short(&cell, MAX_CELL)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Lines of `name: value`, the values in one column. The values are made harmless.
pub(crate) fn lines(pairs: &[(String, String)]) -> String {
    let names = pairs.iter().map(|(name, _)| escape_short(name, MAX_CELL) + ":");
    let names: Vec<String> = names.collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let lines = names.iter().zip(pairs).map(|(name, (_, value))| {
        format!("{name:<width$}  {}", escape_short(value, MAX_VALUE)).trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A field of an object as people read it, see [`plain`].
pub(crate) fn field(object: &Value, name: &str) -> String {
    object.get(name).map_or_else(|| NOTHING.to_owned(), plain)
}

/// A text without quotes, `-` for nothing, anything else as JSON. Not yet harmless.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

const NOTHING: &str = "-";

/// The longest cell of a table and the longest value of a line, in characters.
const MAX_CELL: usize = 80;
const MAX_VALUE: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = [["nim".to_owned(), "40".to_owned()], ["gr\u{fc}n".to_owned(), "-".to_owned()]];
        assert_eq!(table(["NAME", "RPM"], rows), "NAME  RPM\nnim   40\ngr\u{fc}n  -");
        assert_eq!(table(["NAME", "RPM"], []), "NAME  RPM");
    }

    #[test]
    fn a_cell_stays_on_its_line_and_within_bounds() {
        let text = table(["A", "B"], [["one\ntwo".to_owned(), "x".repeat(100)]]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with(&format!("one\\ntwo  {}...", "x".repeat(80))));
    }

    #[test]
    fn values_stand_in_one_column() {
        let pairs = [("id".to_owned(), "1".to_owned()), ("label".to_owned(), "\u{1b}".to_owned())];
        assert_eq!(lines(&pairs), "id:     1\nlabel:  \\u{1b}");
    }

    #[test]
    fn a_value_is_shown_without_quotes() {
        let object = serde_json::json!({"name": "nim", "rpm": 40, "label": null, "list": ["a"]});
        let shown = ["name", "rpm", "label", "list", "missing"].map(|name| field(&object, name));
        assert_eq!(shown, ["nim", "40", "-", "[\"a\"]", "-"]);
    }
}
