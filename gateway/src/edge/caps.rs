//! How many connections there may be: in all, and from one address.
//!
//! A connection takes its slot before anything is spent on it and gives it back when it is dropped, however it ends.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

/// The open connections. The map holds no more addresses than there are connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    total: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Connections {
    /// A slot for a connection from this address; `None` when there are `most` already, or `most_from_one` from it.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, most: usize, most_from_one: usize) -> Option<Slot> {
        // An address that comes over IPv6 in its mapped form is the same client.
        let address = address.to_canonical();
        let slot = Slot { connections: self.clone(), address };
        let within = self.total.fetch_add(1, Ordering::AcqRel) < most;
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_default();
        *count += 1;
        let within = within && *count <= most_from_one;
        drop(by_address);
        // A slot that is not handed out gives back what was counted.
        within.then_some(slot)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut by_address = self.connections.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
        drop(by_address);
        self.connections.total.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn both_caps_hold_and_slots_come_back() {
        let connections = Arc::new(Connections::default());
        let first = connections.enter(address(1), 3, 2).expect("free");
        let _second = connections.enter(address(1), 3, 2).expect("free");
        assert!(connections.enter(address(1), 3, 2).is_none(), "two from one address");
        let _third = connections.enter(address(2), 3, 2).expect("free");
        assert!(connections.enter(address(3), 3, 2).is_none(), "three in all");
        drop(first);
        assert!(connections.enter("::ffff:10.0.0.1".parse().expect("address"), 3, 2).is_some());
    }

    proptest! {
        #[test]
        fn nothing_is_left_when_all_have_gone(addresses in proptest::collection::vec(0_u8..4, 0..40)) {
            let connections = Arc::new(Connections::default());
            let slots: Vec<_> = addresses.iter().map(|last| connections.enter(address(*last), 20, 5)).collect();
            let held = slots.iter().flatten().count();
            prop_assert_eq!(connections.open(), held);
            prop_assert!(held <= 20);
            drop(slots);
            prop_assert_eq!(connections.open(), 0);
            prop_assert!(connections.by_address.lock().is_empty());
        }
    }
}
