//! How the data thread takes over what the cluster has committed.

use std::rc::Rc;
use std::sync::Arc;

use slotway_common::acl::Users;
use slotway_common::cluster_state::ClusterState;
use slotway_common::fault;
use slotway_common::topology::SlotMap;

use super::settings::take_effect;
use super::{Node, Shard};
use crate::engine::set_hash_seed;

impl Shard {
    /// Has a committed state take effect but for what the slots hold: who owns which slot, whether this node serves, and
    /// the settings. Gives the owners before, and which of them this node was (`usize::MAX` if it did not serve).
    pub(crate) fn follow(&mut self, state: &Arc<ClusterState>) -> (SlotMap, usize) {
        let node = &mut self.node;
        let first = !node.state.is_founded();
        if first {
            // Nothing has been stored: no slot was served before.
            set_hash_seed(state.hash_seed);
        }
        node.state = state.clone();
        let before = node.follow_topology();
        node.settings.follow(state);
        take_effect(&mut self.engine, node);
        node.scripts.libraries.follow(state);
        if first && !node.users.are_open() {
            // They came in while the users were not known.
            let clients = node.clients.iter().filter(|client| client.internal.borrow().is_none());
            clients.for_each(|client| client.kill());
        }
        before
    }
}

impl Node {
    /// Takes over the users of the committed state, or another password of the default user.
    pub(crate) fn follow_users(&mut self, new_password: bool) {
        let password = &self.hot.requirepass;
        let users = if self.state.users_version != self.users.version() {
            Users::new(&self.state.users, self.state.users_version, password)
        } else if new_password {
            self.users.requiring(password)
        } else {
            return;
        };
        for client in self.clients.iter().filter(|client| client.internal.borrow().is_none()) {
            client.follow_users(&users);
        }
        self.users = Rc::new(users);
    }

    fn follow_topology(&mut self) -> (SlotMap, usize) {
        let topology = self.state.topology();
        let slot_map = std::mem::replace(&mut self.slot_map, topology.slot_map());
        let own = |shard: &slotway_common::topology::Shard| {
            shard.nodes.iter().any(|node| node.id == self.identity.node)
        };
        self.shard_index = topology.shards.iter().position(own).unwrap_or(usize::MAX);
        self.topology = Rc::new(topology);
        self.assigned = self.slot_map.slots_of(self.shard_index).count();
        self.not_serving = self.reason_not_to_serve();
        let serving = if self.not_serving.is_none() { self.shard_index } else { usize::MAX };
        (slot_map, std::mem::replace(&mut self.serving_index, serving))
    }

    /// A process serves only once the cluster knows that it is a new one, and holds nothing of what its predecessor held.
    fn reason_not_to_serve(&self) -> Option<String> {
        let id = &self.identity.node;
        match self.state.node(id) {
            None => Some(format!("node {id} is not part of the cluster")),
            Some((_, node))
                if node.incarnation != self.incarnation && !fault::planted("restarted-node-serves") =>
            {
                Some(format!("the start of node {id} is not committed yet"))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Control, Proposals};
    use crate::engine::{Engine, LazyFree};
    use slotway_common::cluster_state::{Change, Node as Place, Shard as Owner};
    use slotway_common::handshake::Identity;

    fn cluster() -> Change {
        let shard = |name: &str, slots: &str| Owner {
            name: name.to_owned(),
            epoch: 1,
            nodes: vec![Place {
                id: format!("{name}-0"),
                address: format!("{name}:1"),
                control: format!("{name}:2"),
                admin: format!("{name}:3"),
                incarnation: 0,
            }],
            slots: slots.parse().unwrap(),
        };
        Change::Found {
            cluster: "test".to_owned(),
            id: "1".to_owned(),
            hash_seed: 7,
            shards: vec![shard("a", "0-99"), shard("b", "100-16383")],
            settings: std::collections::BTreeMap::default(),
        }
    }

    #[tokio::test]
    async fn slots_are_served_once_this_very_process_is_in_the_state() {
        let proposals = Proposals::new(ClusterState::default());
        let control = Control::in_memory(&proposals);
        let identity = Identity { cluster: "test".to_owned(), node: "a-0".to_owned() };
        let node = Node::new(identity, None, 5, Arc::default(), &crate::commands::HANDLERS);
        let mut shard = Shard { engine: Engine::new(LazyFree::start().unwrap()), node };
        let mut seen = Vec::new();
        let mut look = |shard: &mut Shard, control: &Control| {
            shard.adopt(&control.state());
            seen.push((shard.node.owns(0), shard.node.owns(100), shard.node.check_serving(false).is_ok()));
        };
        look(&mut shard, &control);
        let started =
            |incarnation| Change::NodeStarted { node: "a-0".to_owned(), incarnation, follows: None };
        for change in [cluster(), started(4), started(5), started(6)] {
            control.propose(change).await.unwrap();
            look(&mut shard, &control);
        }
        let (no, yes) = ((false, false, false), (true, false, true));
        assert_eq!(seen, [no, no, no, yes, no]);
        assert_eq!(shard.node.assigned(), 100);
    }
}
