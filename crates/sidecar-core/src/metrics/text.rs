//! [`Exposition`]: the text that Prometheus reads.

use std::fmt::{self, Write as _};

use super::Family;

/// Families of metrics in the text format that Prometheus reads, version 0.0.4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposition {
    text: String,
}

/// Where the samples of one family are written.
#[derive(Debug)]
pub struct Samples<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    /// Begins `family`, which must not have been written before. Its samples follow.
    pub fn family(&mut self, family: &Family) -> Samples<'_> {
        let Family { name, kind, help } = family;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str());
        Samples { text: &mut self.text, name }
    }

    /// Writes a family that is one sample without labels.
    pub fn single(&mut self, family: &Family, value: impl fmt::Display) {
        self.family(family).sample(&[], value);
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, to keep.
    pub fn into_string(self) -> String {
        self.text
    }
}

impl Samples<'_> {
    /// Writes one sample. A number as `Display` shows it is one that Prometheus reads.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.text.push_str(self.name);
        for (index, (label, content)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            push_escaped(self.text, content);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn push_escaped(text: &mut String, content: &str) {
    for character in content.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{COOLDOWN_ACTIVE, EMERGENCY_COUNT, IN_FLIGHT};
    use super::*;

    #[test]
    fn families_have_help_a_type_and_samples() {
        let mut text = Exposition::default();
        text.single(&COOLDOWN_ACTIVE, 3);
        let mut samples = text.family(&IN_FLIGHT);
        samples.sample(&[("provider", "a\\b\"c\nd")], 0.5);
        samples.sample(&[("provider", "e"), ("more", "f")], 2_u64);
        text.single(&EMERGENCY_COUNT, 0);
        let expected = "\
# HELP sidecar_cooldown_active Providers that rest as a whole.
# TYPE sidecar_cooldown_active gauge
sidecar_cooldown_active 3
# HELP sidecar_in_flight Requests under way at a provider.
# TYPE sidecar_in_flight gauge
sidecar_in_flight{provider=\"a\\\\b\\\"c\\nd\"} 0.5
sidecar_in_flight{provider=\"e\",more=\"f\"} 2
# HELP sidecar_emergency_count Resting providers tried early since the start because nothing else \
was left.
# TYPE sidecar_emergency_count untyped
sidecar_emergency_count 0
";
        assert_eq!(text.as_str(), expected);
    }

    proptest! {
        /// Nothing that a label holds ends it, or its line.
        #[test]
        fn no_label_breaks_out(content in "(\\PC|[\\\\\"\n\r]){0,20}") {
            let mut text = Exposition::default();
            text.family(&IN_FLIGHT).sample(&[("provider", content.as_str())], 1);
            let line = text.as_str().split('\n').nth(2).unwrap_or_default();
            let held = line.strip_prefix("sidecar_in_flight{provider=\"");
            let held = held.and_then(|rest| rest.strip_suffix("\"} 1")).unwrap_or("\"");
            let mut read = String::new();
            let mut characters = held.chars();
            while let Some(character) = characters.next() {
                prop_assert!(character != '"' && character != '\n');
                read.push(match character {
                    '\\' => match characters.next() {
                        Some('n') => '\n',
                        Some(escaped) => escaped,
                        None => '"',
                    },
                    other => other,
                });
            }
            prop_assert_eq!(read, content);
        }
    }
}
