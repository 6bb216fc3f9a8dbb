//! `[headers]` and `[routes.headers]`: the security fields of answers.

use http::HeaderValue;
use todo_shared::config::Section;

use crate::response::{Field, ResponsePolicy, fields};

/// The key of each field.
const KEYS: [(&str, Field); 8] = [
    ("strict_transport_security", Field::StrictTransportSecurity),
    ("content_security_policy", Field::ContentSecurityPolicy),
    ("content_type_options", Field::ContentTypeOptions),
    ("frame_options", Field::FrameOptions),
    ("referrer_policy", Field::ReferrerPolicy),
    ("permissions_policy", Field::PermissionsPolicy),
    ("cross_origin_opener_policy", Field::CrossOriginOpenerPolicy),
    ("cross_origin_resource_policy", Field::CrossOriginResourcePolicy),
];

/// What is configured for each field: nothing, "leave it to the API" (empty), or a value.
#[derive(Debug, Clone)]
pub(super) struct Headers(Vec<(Field, Setting)>);

#[derive(Debug, Clone)]
enum Setting {
    Inherit,
    Leave,
    Set(HeaderValue),
}

impl Headers {
    /// The policy these fields make.
    pub(super) fn policy(&self) -> ResponsePolicy {
        let value = |(field, setting): &(Field, Setting)| match setting {
            Setting::Set(value) => Some((*field, value.clone())),
            Setting::Inherit | Setting::Leave => None,
        };
        ResponsePolicy::new(self.0.iter().filter_map(value).collect())
    }

    /// These fields, and for those not mentioned here what `base` says.
    pub(super) fn over(self, base: &Self) -> Self {
        let choose = |((field, own), (_, below)): ((Field, Setting), &(Field, Setting))| match own {
            Setting::Inherit => (field, below.clone()),
            Setting::Leave | Setting::Set(_) => (field, own),
        };
        Self(self.0.into_iter().zip(&base.0).map(choose).collect())
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<Headers> {
    let settings: Vec<_> = KEYS.map(|(key, field)| Some((field, read_field(section, key, field)?))).into();
    settings.into_iter().collect::<Option<_>>().map(Headers)
}

fn read_field(section: &Section<'_>, key: &'static str, field: Field) -> Option<Setting> {
    // Asked for as text that may be empty: an empty value means something other than none.
    let Some(text) = section.present::<String>(key)? else { return Some(Setting::Inherit) };
    if text.is_empty() {
        return Some(Setting::Leave);
    }
    match fields::read(field, &text) {
        Ok(value) => Some(Setting::Set(value)),
        Err(message) => {
            section.complain(key, message, None);
            None
        }
    }
}
