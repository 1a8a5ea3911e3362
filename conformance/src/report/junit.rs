//! The report as JUnit XML, which build servers show.
//!
//! Written by hand: it is five elements, and escaping is the one function below.

use super::{Count, Line, Report};
use crate::case::Verdict;

impl Report {
    /// Returns the report as JUnit XML.
    #[must_use]
    pub fn junit(&self) -> String {
        let Count { passed, failed, skipped } = self.count();
        let count = format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\"", passed + failed + skipped);
        let (name, time) = (escaped(&self.subject), self.took.as_secs_f64());
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let mut put = |text: &str| xml += &format!("{text}\n");
        put(&format!("<testsuites name=\"{name}\" {count} time=\"{time:.3}\">"));
        put(&format!("  <testsuite name=\"{name}\" {count} skipped=\"{skipped}\" time=\"{time:.3}\">"));
        self.lines.iter().for_each(|line| put(&line.junit()));
        put("  </testsuite>");
        put("</testsuites>");
        xml
    }
}

impl Line {
    fn junit(&self) -> String {
        let by = self.transport.map(|transport| format!(" [{transport}]")).unwrap_or_default();
        let name = escaped(&format!("{}{by} {}", self.id, self.title));
        let (class, time) = (escaped(&format!("conformance.{}", self.id)), self.took.as_secs_f64());
        let mut xml = format!("    <testcase classname=\"{class}\" name=\"{name}\" time=\"{time:.3}\">");
        match &self.verdict {
            Verdict::Passed => {}
            Verdict::Failed(why) => {
                let first = escaped(why.lines().next().unwrap_or_default());
                xml +=
                    &format!("<failure message=\"{first}\" type=\"{}\">{}</failure>", self.id, escaped(why));
            }
            Verdict::Skipped(why) => xml += &format!("<skipped message=\"{}\"/>", escaped(why)),
        }
        if !self.notes.is_empty() {
            xml += &format!("<system-out>{}</system-out>", escaped(&self.notes.join("\n")));
        }
        xml + "</testcase>"
    }
}

/// Escapes a text for an element or an attribute. What XML 1.0 cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out += "&#10;",
            '\t' => out += "&#9;",
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cases;

    #[test]
    fn any_text_makes_xml_that_a_parser_reads_back() {
        let why = "expected <200> & \"ok\",\nfound \u{1b}[31m \u{0} ]]> é \u{ffff}";
        let case = cases::all()[0];
        let failed = Line::new(&case, "sse").with(Verdict::Failed(why.to_owned()));
        let skipped = Line::new(&case, None).skipped("a < b").noting(vec!["<note>".to_owned()]);
        let report = Report {
            subject: "\"https://a/?b&c\"".to_owned(),
            lines: vec![failed, skipped],
            took: Duration::from_millis(1_500),
        };
        let xml = report.junit();
        let document = roxmltree::Document::parse(&xml).expect("it is well-formed");
        let suite = document.root_element();
        assert_eq!(suite.attribute("name"), Some("\"https://a/?b&c\""));
        assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("2"), Some("1")));
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).expect("the failure");
        let read = "expected <200> & \"ok\",\nfound \u{fffd}[31m \u{fffd} ]]> é \u{fffd}";
        assert_eq!(failure.text(), Some(read));
        assert_eq!(failure.attribute("message"), Some("expected <200> & \"ok\","));
        let skipped =
            document.descendants().find(|node| node.has_tag_name("skipped")).expect("the skipped one");
        assert_eq!(skipped.attribute("message"), Some("a < b"));
    }
}
