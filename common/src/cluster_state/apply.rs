//! Applies changes.

use std::collections::BTreeMap;

use super::{
    AbortKind, AbortReason, Change, ClusterState, MOST_ANSWERED, MOST_ENDED, Migration, Move, Outcome, Phase,
    Proposal, Shard,
};
use crate::acl::{StoredUser, UserChange};
use crate::fault;
use crate::settings::StoredText;
use crate::topology::SlotRanges;

/// The setting that is the default user's password.
const REQUIREPASS: &str = "requirepass";

/// Whether a change that fits has changed anything.
type Changed = Result<bool, String>;

impl ClusterState {
    /// Applies one entry of the log.
    pub fn apply(&mut self, proposal: &Proposal) -> Outcome {
        if let Some((_, outcome)) = self.answered.iter().find(|(request, _)| *request == proposal.request) {
            return outcome.clone();
        }
        let password = self.settings.get(REQUIREPASS).cloned();
        let outcome = match self.change(&proposal.change) {
            Ok(changed) => {
                self.generation += u64::from(changed);
                let requires = self.settings.get(REQUIREPASS).cloned();
                let changes_users =
                    requires != password || matches!(proposal.change, Change::SetUsers { .. });
                if requires != password {
                    self.require(&requires);
                }
                if changed && matches!(proposal.change, Change::Found { .. } | Change::Set { .. }) {
                    self.settings_version = self.generation;
                }
                if changed && matches!(proposal.change, Change::SetFunctions { .. }) {
                    self.functions_version = self.generation;
                }
                if changed && changes_users {
                    self.users_version = self.generation;
                }
                Outcome::Done { generation: self.generation }
            }
            Err(reason) => Outcome::Refused(reason),
        };
        if self.answered.len() >= MOST_ANSWERED {
            self.answered.remove(0);
        }
        self.answered.push((proposal.request.clone(), outcome.clone()));
        outcome
    }

    fn change(&mut self, change: &Change) -> Changed {
        if !self.is_founded() && !matches!(change, Change::Found { .. }) {
            return Err("the cluster has not been founded yet".to_owned());
        }
        match change {
            Change::Found { cluster, id, hash_seed, shards, settings } => {
                if self.is_founded() {
                    return Ok(false);
                }
                self.cluster.clone_from(cluster);
                self.id.clone_from(id);
                self.hash_seed = *hash_seed;
                self.shards.clone_from(shards);
                self.settings.clone_from(settings);
                Ok(true)
            }
            Change::NodeStarted { node, incarnation, follows } => {
                self.node_started(node, *incarnation, *follows)
            }
            Change::AddShard { shard } => self.add_shard(shard),
            Change::RemoveShard { name } => self.remove_shard(name),
            Change::StartMoves { moves } => self.start_moves(moves),
            Change::CommitSlots { id, slots, source_epoch, target_epoch, incarnations } => {
                self.commit_slots(id, slots, (*source_epoch, *target_epoch), *incarnations)
            }
            Change::AbortMove { id, reason } => self.abort_move(id, reason),
            Change::Set { values } => Ok(self.set(values)),
            Change::SetFunctions { functions, expected } => self.set_functions(functions, *expected),
            Change::SetUsers { users, expected } => self.set_users(users, *expected),
        }
    }

    fn node_started(&mut self, id: &str, incarnation: u64, follows: Option<u64>) -> Changed {
        let found = self
            .shards
            .iter_mut()
            .find_map(|shard| Some((shard.nodes.iter().position(|node| node.id == id)?, shard)));
        let Some((position, shard)) = found else {
            return Err(format!("node {id} is not in the cluster"));
        };
        let Some(node) = shard.nodes.get_mut(position) else { return Ok(false) };
        if node.incarnation == incarnation {
            return Ok(false);
        }
        if follows.is_some_and(|follows| follows != node.incarnation) {
            return Err(format!("another process of node {id} has started meanwhile"));
        }
        node.incarnation = incarnation;
        // Only a primary holds what requests see.
        if position == 0 {
            shard.epoch += 1;
            let name = shard.name.clone();
            self.end_moves(
                |migration| migration.source == name || migration.target == name,
                &AbortReason::new(AbortKind::Restarted, format!("node {id} has restarted")),
            );
        }
        Ok(true)
    }

    fn add_shard(&mut self, shard: &Shard) -> Changed {
        if let Some(known) = self.shard(&shard.name) {
            let ids = |shard: &Shard| {
                shard.nodes.iter().map(|node| (node.id.clone(), node.address.clone())).collect::<Vec<_>>()
            };
            return if ids(known) == ids(shard) {
                Ok(false)
            } else {
                Err(format!("there is a shard {} with other nodes already", shard.name))
            };
        }
        if shard.nodes.is_empty() {
            return Err(format!("shard {} has no nodes", shard.name));
        }
        for node in &shard.nodes {
            let taken = self.shards.iter().flat_map(|known| &known.nodes).find(|known| {
                known.id == node.id || known.address == node.address || known.control == node.control
            });
            if let Some(known) = taken {
                return Err(format!("node {} would have the id or an address of {}", node.id, known.id));
            }
        }
        self.shards.push(Shard { slots: SlotRanges::default(), epoch: 1, ..shard.clone() });
        Ok(true)
    }

    fn remove_shard(&mut self, name: &str) -> Changed {
        let Some(position) = self.shards.iter().position(|shard| shard.name == name) else {
            return Ok(false);
        };
        let owned = self.shards.get(position).map_or(0, |shard| shard.slots.count());
        if owned > 0 {
            return Err(format!("shard {name} still owns {owned} slots"));
        }
        if let Some(migration) =
            self.migrations.iter().find(|migration| migration.source == name || migration.target == name)
        {
            return Err(format!("shard {name} takes part in the unfinished move {}", migration.id));
        }
        self.shards.remove(position);
        Ok(true)
    }

    fn start_moves(&mut self, moves: &[Move]) -> Changed {
        let mut begun: Vec<Migration> = Vec::new();
        for planned in moves {
            if let Some(known) = self.migration(&planned.id) {
                if known.slots == planned.slots
                    && known.source == planned.source
                    && known.target == planned.target
                {
                    continue;
                }
                return Err(format!("move {} is known with other slots or shards", planned.id));
            }
            begun.push(self.begin(planned, &begun)?);
        }
        let changed = !begun.is_empty();
        self.migrations.extend(begun);
        Ok(changed)
    }

    /// The move as it begins, if it can.
    fn begin(&self, planned: &Move, others: &[Migration]) -> Result<Migration, String> {
        let Move { id, source, target, slots } = planned;
        let shard = |name: &str| self.shard(name).ok_or_else(|| format!("there is no shard {name}"));
        let (from, to) = (shard(source)?, shard(target)?);
        if source == target {
            return Err(format!("move {id} leads from shard {source} to itself"));
        }
        if slots.is_empty() {
            return Err(format!("move {id} has no slots"));
        }
        if to.primary().is_none_or(|node| node.incarnation == 0) {
            return Err(format!("shard {target} has never been started"));
        }
        if let Some(slot) = slots.slots().find(|slot| !from.slots.contains(*slot)) {
            return Err(format!("slot {slot} is not owned by shard {source} any more"));
        }
        let busy =
            |slot: u16| self.migrations.iter().chain(others).find(|migration| migration.slots.contains(slot));
        if let Some((slot, migration)) =
            slots.slots().find_map(|slot| Some((slot, busy(slot).filter(|one| !one.moved.contains(slot))?)))
        {
            return Err(format!("slot {slot} is being moved already, by {}", migration.id));
        }
        Ok(Migration {
            id: id.clone(),
            source: source.clone(),
            target: target.clone(),
            slots: slots.clone(),
            moved: SlotRanges::default(),
            source_epoch: from.epoch,
            target_epoch: to.epoch,
            phase: Phase::Running,
        })
    }

    fn commit_slots(
        &mut self,
        id: &str,
        slots: &SlotRanges,
        epochs: (u64, u64),
        incarnations: Option<(u64, u64)>,
    ) -> Changed {
        let Some(position) = self.migrations.iter().position(|migration| migration.id == id) else {
            return match self.migration(id) {
                Some(ended) if slots.slots().all(|slot| ended.moved.contains(slot)) => Ok(false),
                Some(_) => Err(format!("move {id} has ended")),
                None => Err(format!("there is no move {id}")),
            };
        };
        let Some(migration) = self.migrations.get(position) else { return Ok(false) };
        if let Some(slot) = slots.slots().find(|slot| !migration.slots.contains(*slot)) {
            return Err(format!("slot {slot} does not belong to move {id}"));
        }
        if slots.slots().all(|slot| migration.moved.contains(slot)) {
            return Ok(false);
        }
        let epoch = |name: &str| self.shard(name).map(|shard| shard.epoch);
        if !fault::planted("epoch-check-skipped")
            && ((migration.source_epoch, migration.target_epoch) != epochs
                || epoch(&migration.source) != Some(epochs.0)
                || epoch(&migration.target) != Some(epochs.1))
        {
            return Err(format!("the epochs of move {id} have passed"));
        }
        if incarnations.is_some_and(|agreed| self.incarnations(migration) != agreed) {
            return Err(format!("another process is the source or the target of move {id} by now"));
        }
        let (source, target) = (migration.source.clone(), migration.target.clone());
        for shard in &mut self.shards {
            if shard.name == source {
                shard.slots = shard.slots.slots().filter(|slot| !slots.contains(*slot)).collect();
            } else if shard.name == target {
                shard.slots = shard.slots.slots().chain(slots.slots()).collect();
            }
        }
        if let Some(migration) = self.migrations.get_mut(position) {
            migration.moved = migration.moved.slots().chain(slots.slots()).collect();
            if migration.moved == migration.slots {
                self.end(position, Phase::Finished);
            }
        }
        Ok(true)
    }

    fn abort_move(&mut self, id: &str, reason: &AbortReason) -> Changed {
        match self.migrations.iter().position(|migration| migration.id == id) {
            Some(position) => {
                self.end(position, Phase::Aborted(reason.clone()));
                Ok(true)
            }
            None if self.migration(id).is_some() => Ok(false),
            None => Err(format!("there is no move {id}")),
        }
    }

    fn end_moves(&mut self, ends: impl Fn(&Migration) -> bool, reason: &AbortReason) {
        while let Some(position) = self.migrations.iter().position(&ends) {
            self.end(position, Phase::Aborted(reason.clone()));
        }
    }

    fn end(&mut self, position: usize, phase: Phase) {
        let migration = self.migrations.remove(position);
        if self.ended.len() >= MOST_ENDED {
            self.ended.remove(0);
        }
        self.ended.push(Migration { phase, ..migration });
    }

    fn set_functions(&mut self, functions: &BTreeMap<String, Option<StoredText>>, expected: u64) -> Changed {
        if expected != self.functions_version {
            return Err("the libraries have changed meanwhile".to_owned());
        }
        let before = self.functions.clone();
        for (name, code) in functions {
            match code {
                Some(code) => drop(self.functions.insert(name.clone(), code.clone())),
                None => drop(self.functions.remove(name)),
            }
        }
        Ok(self.functions != before)
    }

    /// Has the default user take the password that is set now, if the cluster keeps it.
    fn require(&mut self, password: &Option<StoredText>) {
        let password = password.as_ref().map(StoredText::bytes).unwrap_or_default();
        if let Some(user) = self.users.iter_mut().find(|user| *user.name.bytes() == *b"default") {
            user.require(&password);
        }
    }

    fn set_users(&mut self, changes: &[UserChange], expected: u64) -> Changed {
        if expected != self.users_version {
            return Err("the users have changed meanwhile".to_owned());
        }
        let before = self.users.clone();
        for change in changes {
            let (UserChange::Set(StoredUser { name, .. }) | UserChange::Delete(name)) = change;
            let place = self.users.binary_search_by(|known| known.name.bytes().cmp(&name.bytes()));
            match (place, change) {
                (Ok(place), UserChange::Set(user)) => {
                    if let Some(known) = self.users.get_mut(place) {
                        *known = user.kept_since(known.created);
                    }
                }
                (Err(place), UserChange::Set(user)) => {
                    self.users.insert(place, user.kept_since(self.generation + 1));
                }
                (Ok(place), UserChange::Delete(_)) => drop(self.users.remove(place)),
                (Err(_), UserChange::Delete(_)) => {}
            }
        }
        Ok(self.users != before)
    }

    fn set(&mut self, values: &BTreeMap<String, Option<StoredText>>) -> bool {
        let before = self.settings.clone();
        for (name, value) in values {
            match value {
                Some(value) => drop(self.settings.insert(name.clone(), value.clone())),
                None => drop(self.settings.remove(name)),
            }
        }
        self.settings != before
    }
}
