//! What a match does: one answer for each class and severity, resolved once for a request.

use crate::record::{Class, Severity};
use crate::snapshot::wire::{ActionRule, Leakage, OnDetect};
use crate::tenant::TenantId;

const CLASSES: [Class; 2] = [Class::Literal, Class::Phrase];
const SEVERITIES: [Severity; 3] = [Severity::Low, Severity::High, Severity::Critical];

/// What matches do in one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions([[OnDetect; SEVERITIES.len()]; CLASSES.len()]);

impl Actions {
    /// By an answer for each class and severity.
    pub fn new(each: impl Fn(Class, Severity) -> OnDetect) -> Self {
        Self(CLASSES.map(|class| SEVERITIES.map(|severity| each(class, severity))))
    }

    /// What the policy says of the responses of a surface to a tenant: the first rule that fits, else what phrases have of
    /// their own, else what every match does.
    pub fn resolve(leakage: &Leakage, phrases: Option<OnDetect>, surface: &str, tenant: &TenantId) -> Self {
        let here: Vec<&ActionRule> = leakage
            .actions
            .iter()
            .filter(|rule| rule.surfaces.is_empty() || rule.surfaces.iter().any(|name| name == surface))
            .filter(|rule| rule.tenants.is_empty() || rule.tenants.contains(tenant))
            .collect();
        Self::new(|class, severity| {
            let rule = here.iter().find(|rule| rule.fits(class, severity)).map(|rule| rule.action);
            let own = phrases.filter(|_| class == Class::Phrase);
            rule.or(own).unwrap_or(leakage.action_on_detect)
        })
    }

    /// What a match does.
    #[inline]
    pub fn of(&self, class: Class, severity: Severity) -> OnDetect {
        let [literal, phrase] = self.0;
        let [low, high, critical] = match class {
            Class::Literal => literal,
            Class::Phrase => phrase,
        };
        match severity {
            Severity::Low => low,
            Severity::High => high,
            Severity::Critical => critical,
        }
    }
}

impl ActionRule {
    fn fits(&self, class: Class, severity: Severity) -> bool {
        (self.classes.is_empty() || self.classes.contains(&class))
            && (self.severities.is_empty() || self.severities.contains(&severity))
    }
}
