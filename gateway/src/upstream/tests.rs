//! The choice, the cap on ejections and what survives, over real endpoints.

use proptest::prelude::*;

use super::*;

fn rule(count: u16, panic_threshold: u8) -> UpstreamRule {
    let addresses = (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    UpstreamRule { addresses, panic_threshold, ..UpstreamRule::for_tests() }
}

fn build(registry: &Registry, rule: UpstreamRule) -> Arc<Upstream> {
    registry.build(vec![rule], &Metrics::new().expect("metrics")).remove(0)
}

/// The ports that many choices fall on, in order.
fn chosen(upstream: &Upstream) -> Vec<u16> {
    let ports = (0..100).filter_map(|_| upstream.choose(&[])).map(|target| target.endpoint.address.port());
    ports.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn endpoint(upstream: &Upstream, port: u16) -> Arc<Endpoint> {
    let targets = upstream.targets();
    let target = targets.iter().find(|target| target.endpoint.address.port() == port).expect("there");
    Arc::clone(&target.endpoint)
}

fn fail(upstream: &Upstream, port: u16) {
    (0..upstream.rule.ejection.after).for_each(|_| upstream.note_failure(&endpoint(upstream, port)));
}

fn ejected(upstream: &Upstream) -> usize {
    upstream.targets().iter().filter(|target| target.endpoint.is_ejected(now())).count()
}

#[test]
fn the_healthy_are_asked() {
    let upstream = Upstream::of(rule(3, 50));
    assert_eq!(chosen(&upstream), [1, 2, 3]);
    endpoint(&upstream, 2).set_healthy(false);
    assert_eq!(chosen(&upstream), [1, 3]);
}

#[test]
fn below_the_panic_threshold_everyone_is_asked() {
    let upstream = Upstream::of(rule(2, 50));
    endpoint(&upstream, 1).set_healthy(false);
    assert_eq!(chosen(&upstream), [2], "half is not fewer than half");
    endpoint(&upstream, 2).set_healthy(false);
    assert_eq!(chosen(&upstream), [1, 2]);
}

#[test]
fn a_threshold_of_zero_believes_the_checks_to_the_end() {
    let upstream = Upstream::of(rule(1, 0));
    endpoint(&upstream, 1).set_healthy(false);
    assert!(upstream.choose(&[]).is_none());
}

#[test]
fn whoever_was_asked_is_not_asked_again() {
    let upstream = Upstream::of(rule(2, 50));
    let first = endpoint(&upstream, 1).address;
    let second = upstream.choose(&[first]).expect("another").endpoint.address;
    assert_ne!(first, second);
    assert!(upstream.choose(&[first, second]).is_none());
}

#[test]
fn the_busy_one_waits() {
    let upstream = Upstream::of(rule(2, 50));
    let busy = Attempt::begin(endpoint(&upstream, 1));
    assert_eq!(chosen(&upstream), [2]);
    drop(busy);
    assert_eq!(chosen(&upstream), [1, 2]);
}

#[test]
fn failures_set_an_address_aside_and_those_who_are_left_are_asked() {
    let upstream = Upstream::of(rule(3, 50));
    fail(&upstream, 2);
    assert_eq!(chosen(&upstream), [1, 3]);
    fail(&upstream, 3);
    assert_eq!(chosen(&upstream), [1, 3], "one of three is the most");
    endpoint(&upstream, 1).set_healthy(false);
    endpoint(&upstream, 3).set_healthy(false);
    assert_eq!(chosen(&upstream), [1, 3], "in a panic the answers are still believed");
    let all = UpstreamRule { ejection: EjectionRule { max_percent: 100, ..rule(1, 0).ejection }, ..rule(1, 0) };
    let upstream = Upstream::of(all);
    fail(&upstream, 1);
    assert_eq!((ejected(&upstream), chosen(&upstream)), (1, vec![1]), "better than nobody");
}

#[test]
fn a_single_address_is_never_set_aside() {
    let upstream = Upstream::of(rule(1, 50));
    fail(&upstream, 1);
    assert_eq!(ejected(&upstream), 0);
}

#[test]
fn slowness_is_measured_against_the_others() {
    let upstream = Upstream::of(rule(3, 50));
    let (fast, slow) = (Duration::from_millis(20), Duration::from_millis(200));
    for _ in 0..20 {
        (1..=3).for_each(|port| upstream.note_answer(&endpoint(&upstream, port), slow));
    }
    assert_eq!(ejected(&upstream), 0, "all are equally slow");
    let upstream = Upstream::of(rule(3, 50));
    for _ in 0..20 {
        (1..=2).for_each(|port| upstream.note_answer(&endpoint(&upstream, port), fast));
        upstream.note_answer(&endpoint(&upstream, 3), slow);
    }
    assert_eq!(chosen(&upstream), [1, 2]);
}

#[test]
fn what_is_known_of_an_address_survives_a_reload_and_no_longer() {
    let registry = Registry::default();
    let before = build(&registry, rule(2, 0));
    endpoint(&before, 1).set_healthy(false);
    let after = build(&registry, rule(3, 0));
    let healthy = |upstream: &Upstream| -> Vec<_> {
        upstream.targets().iter().map(|target| target.endpoint.is_healthy()).collect()
    };
    assert_eq!(healthy(&after), [false, true, true]);
    let without = UpstreamRule { addresses: vec![SocketAddr::from(([127, 0, 0, 1], 2))], ..rule(1, 0) };
    build(&registry, without);
    assert_eq!(healthy(&build(&registry, rule(1, 0))), [true]);
}

#[test]
fn names_bring_addresses_and_take_them_away_with_their_series() {
    let dns::Place::Name(name) = "api.internal:1".parse().expect("a name") else { panic!("a name") };
    let named = UpstreamRule { addresses: Vec::new(), names: vec![name.clone()], ..rule(0, 50) };
    let (registry, metrics) = (Registry::default(), Metrics::new().expect("metrics"));
    let upstream = registry.build(vec![named.clone()], &metrics).remove(0);
    assert!(upstream.choose(&[]).is_none(), "nothing is known yet");
    let address = |last| SocketAddr::from(([127, 0, 0, last], 1));
    registry.resolve(&upstream, &name, vec![address(1), address(2)]);
    let first = upstream.choose(&[address(2)]).expect("an address");
    metrics.upstream_requests.with_label_values(&["test", first.endpoint.label(), "2xx"]).inc();
    registry.resolve(&upstream, &name, vec![address(2)]);
    assert!(first.endpoint.is_gone());
    let families = metrics.registry.gather();
    let series = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
    let mut labels = series.flat_map(prometheus::proto::Metric::get_label);
    assert!(!labels.any(|label| label.value() == first.endpoint.label()), "its series are gone");

    let again = registry.build(vec![named], &metrics).remove(0);
    assert_eq!(again.targets().len(), 1, "a reload forgets no address");
    registry.resolve(&upstream, &name, vec![address(9)]);
    assert_eq!(again.choose(&[]).expect("it").endpoint.address, address(2), "an old task changes nothing");
}

proptest! {
    #[test]
    fn the_cap_is_never_exceeded(
        count in 1_u16..9,
        max_percent in 0_u8..101,
        failing in proptest::collection::vec(1_u16..9, 0..40),
        left in 1_u16..9,
    ) {
        let changed = |count| {
            let rule = rule(count, 50);
            UpstreamRule { ejection: EjectionRule { max_percent, ..rule.ejection }, ..rule }
        };
        let registry = Registry::default();
        let upstream = build(&registry, changed(count));
        for port in failing.into_iter().filter(|port| *port <= count) {
            fail(&upstream, port);
            prop_assert!(ejected(&upstream) * 100 <= usize::from(count) * usize::from(max_percent));
            prop_assert!(upstream.choose(&[]).is_some());
        }
        let fewer = build(&registry, changed(left.min(count)));
        prop_assert!(ejected(&fewer) * 100 <= fewer.targets().len() * usize::from(max_percent), "after a reload too");
    }
}

#[test]
fn the_cap_counts_who_is_there_now_whichever_configuration_asks() {
    let registry = Registry::default();
    let before = build(&registry, rule(9, 0));
    let after = build(&registry, rule(2, 0));
    fail(&before, 1);
    fail(&before, 2);
    assert_eq!(ejected(&after), 1, "a request that still works with nine addresses sets no second of two aside");
    fail(&before, 9);
    assert!(!endpoint(&before, 9).is_ejected(now()), "nor one that is gone");
}

#[test]
fn only_who_could_be_asked_is_another() {
    let upstream = Upstream::of(rule(2, 50));
    let (first, second) = (endpoint(&upstream, 1), endpoint(&upstream, 2));
    assert!(upstream.has_other(&[], first.address));
    assert!(!upstream.has_other(&[second.address], first.address));
    second.set_healthy(false);
    assert!(!upstream.has_other(&[], first.address));
    first.set_healthy(false);
    assert!(upstream.has_other(&[], first.address), "in a panic the checks are not believed");
}

#[test]
fn the_budget_is_known_before_it_is_needed() {
    let budget = BudgetRule { percent: 100, floor: 0 };
    let upstream = Upstream::of(UpstreamRule { budget, ..rule(2, 50) });
    assert!(!upstream.has_retry(), "nothing was earned");
    upstream.count();
    assert!(upstream.has_retry() && upstream.has_retry(), "to look takes nothing");
    assert!(upstream.take_retry() && !upstream.has_retry());
}
