//! `[cors]`: which pages of other origins may use the API.

use std::{str::FromStr, time::Duration};

use http::{HeaderName, HeaderValue};
use todo_shared::config::Section;

use crate::request::cors::{CorsRule, Origin, Origins};

/// The longest time for which any browser remembers an answer to a preflight request.
const LONGEST_AGE: Duration = Duration::from_hours(24);

pub(super) fn read(section: &Section<'_>) -> Option<CorsRule> {
    let origins = read_origins(section);
    let allowed_headers: Option<Vec<FieldName>> = section.parsed_list("allowed_headers");
    let exposed_headers: Option<Vec<FieldName>> = section.parsed_list("exposed_headers");
    let max_age = section.get::<Duration>("max_age");
    let credentials = section.get::<bool>("credentials");
    let (origins, max_age, credentials) = (origins?, max_age?, credentials?);
    if origins == Origins::Any && credentials {
        let help = "name the origins, or leave credentials off";
        section.complain("credentials", "whoever allows every origin cannot take credentials from it", Some(help));
    }
    if max_age > LONGEST_AGE {
        section.complain("max_age", "has to be 24h or less; no browser remembers longer", None);
    }
    Some(CorsRule {
        origins,
        allowed_headers: joined(&allowed_headers?),
        exposed_headers: joined(&exposed_headers?),
        max_age: HeaderValue::from(max_age.as_secs()),
        credentials,
    })
}

fn read_origins(section: &Section<'_>) -> Option<Origins> {
    let texts: Vec<String> = section.list("allowed_origins")?;
    if texts.iter().any(|text| text == "*") {
        if texts.len() > 1 {
            section.complain("allowed_origins", "`*` allows every origin, so the others mean nothing", None);
        }
        return Some(Origins::Any);
    }
    section.parsed_list::<Origin>("allowed_origins").map(Origins::Listed)
}

/// The names as one value; none where there are none.
fn joined(names: &[FieldName]) -> Option<HeaderValue> {
    let names: Vec<&str> = names.iter().map(|FieldName(name)| name.as_str()).collect();
    HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty())
}

/// The name of a header field. `*` is one by its octets, and none here: to a browser it means nothing with credentials, and
/// never `Authorization`.
struct FieldName(HeaderName);

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| text != "*");
        name.map(Self).ok_or_else(|| format!("`{text}` is not the name of a header field"))
    }
}
