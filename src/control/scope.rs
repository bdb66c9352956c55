//! The apps that a control endpoint makes known, may touch and shows.
#![forbid(unsafe_code)]

use crate::control::status::{Slots, Status};
use crate::ids::AppId;
use crate::settings::Apps;
use crate::text::AppName;
use crate::zone::Zone;

/// The apps of a control endpoint: its own, by `$app_name`, and those of `apps=`.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub own: AppName,
    pub apps: Apps<'a>,
}

impl Scope<'_> {
    /// Whether a request may name this app.
    pub fn contains(&self, app: &AppName) -> bool {
        *app == self.own || self.apps.contain(app)
    }

    /// Gives an entry to the endpoint's own app and to those that `apps=` names, so that they are
    /// counted from the endpoint's first request on. Other apps get none by being named in a
    /// request.
    pub fn make_known(&self, zone: &mut Zone<'_>) {
        zone.add_app(&self.own);
        self.named().for_each(|name| zone.add_app(&name));
    }

    /// How many apps [`Self::collect`] adds at most, in a zone that has entries for `max_apps` apps.
    pub fn most(&self, max_apps: usize) -> usize {
        1 + self.named().count() + if self.apps == Apps::Any { max_apps } else { 0 }
    }

    /// Adds the endpoint's apps to `seen`, some of them twice. `seen` must have room for
    /// [`Self::most`]: nothing is allocated under the lock.
    pub fn collect(&self, zone: &Zone<'_>, seen: &mut Vec<Status>) -> Slots {
        seen.push(Status::of(zone, self.own));
        seen.extend(self.named().map(|name| Status::of(zone, name)));
        if self.apps == Apps::Any {
            let all = (0..zone.apps.len()).map(AppId::at);
            seen.extend(all.filter_map(|id| Status::at(zone, id)));
        }
        Slots::of(zone)
    }

    fn named(&self) -> impl Iterator<Item = AppName> + '_ {
        self.apps.names().filter_map(|name| AppName::new(name).ok())
    }
}

/// Sorts apps by their names, each once.
pub fn in_order(mut seen: Vec<Status>) -> Vec<Status> {
    seen.sort_by(|a, b| a.app.as_bytes().cmp(b.app.as_bytes()));
    seen.dedup_by_key(|status| status.app);
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::owned::Owned;

    fn name(name: &str) -> AppName {
        AppName::new(name.as_bytes()).unwrap()
    }

    fn seen(zone: &mut Owned, scope: Scope<'_>) -> Vec<AppName> {
        let mut seen = Vec::new();
        zone.visit(|zone| scope.collect(zone, &mut seen));
        assert!(seen.len() <= scope.most(4));
        in_order(seen).iter().map(|status| status.app).collect()
    }

    #[test]
    fn an_endpoint_sees_its_own_app_and_those_that_it_names_each_once_in_order() {
        let mut zone = Owned::new(4, 1, 4);
        let scope = Scope { own: name("shop"), apps: Apps::These(b"wiki,shop,blog") };
        assert!(scope.contains(&name("shop")) && scope.contains(&name("wiki")));
        assert!(!scope.contains(&name("other")));
        assert_eq!(seen(&mut zone, scope), [name("blog"), name("shop"), name("wiki")]);
    }

    #[test]
    fn an_endpoint_for_any_app_sees_those_that_are_known() {
        let mut zone = Owned::new(4, 1, 4);
        let other = Scope { own: name("other"), apps: Apps::None };
        zone.visit(|zone| other.make_known(zone));
        let scope = Scope { own: name(""), apps: Apps::Any };
        assert!(scope.contains(&name("never heard of")));
        assert_eq!(seen(&mut zone, scope), [name(""), name("other")]);
    }

    #[test]
    fn the_apps_that_an_endpoint_names_are_known_from_its_first_request_on() {
        let mut zone = Owned::new(4, 1, 4);
        let scope = Scope { own: name("shop"), apps: Apps::These(b"wiki") };
        zone.visit(|zone| scope.make_known(zone));
        zone.visit(|zone| {
            assert!(zone.find(&name("shop")).is_some() && zone.find(&name("wiki")).is_some());
        });
    }
}
