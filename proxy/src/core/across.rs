//! Transactions over several shards: their parts, and what their shards are told.
//!
//! A part goes over the connections that its client's other requests take, so that it comes behind them, and what a shard tells of
//! it comes before its reply. A part is never refused as other requests are: its shard takes it, has it wait, or says who owns a
//! slot, and then the transaction is begun again.

use std::rc::Rc;

use slotway_common::command::Need;
use slotway_common::error::Error;
use tokio::sync::oneshot;

use super::awaited::Answer;
use super::errors::{crossslot, unowned};
use super::on_behalf::OnBehalf;
use super::ticket::Ticket;
use super::{AskError, Core, Job, Unsent};
use crate::loan::{Loan, NoLoan};
use crate::parts::{Inseparable, Parts};
use crate::plan::Plan;
use crate::transaction::{Batch, Watch};
use crate::upstream::{Entry, MANY_SLOTS, Owner, PART_OF_TRANSACTION, State};

impl Core {
    /// For whom the transaction of a job runs; nobody if its client has gone.
    pub(crate) fn on_behalf_of(&self, job: &Job) -> Option<OnBehalf> {
        self.sessions.get(job.session)?;
        Some(OnBehalf {
            session: job.session,
            protocol: job.protocol,
            database: job.database,
            name: self.name_of(job.session),
            mark: job.mark,
        })
    }

    /// How a batch, and what is watched for it, runs on several shards. `needs` are keys that it does not name; `borrows`: it
    /// needs some, or will.
    pub(crate) fn plan(
        &self,
        batch: &Batch,
        watch: Option<&Watch>,
        needs: &[Need],
        borrows: bool,
    ) -> Result<Plan, Unsent> {
        if watch.is_some_and(|watch| !self.is_whole(watch)) {
            return Err(Unsent::Broken);
        }
        let mut shards: Vec<(usize, Rc<str>)> = Vec::new();
        for (slot, _) in batch.slots(watch.into_iter().flat_map(Watch::keys)) {
            let owner = self.view.owner(slot).ok_or_else(|| Unsent::Refused(unowned(slot)))?;
            if !shards.iter().any(|(shard, _)| *shard == owner) {
                shards.push((owner, self.shard_name(owner)));
            }
        }
        if needs.is_empty() && !borrows && !self.must_borrow(batch) {
            match Parts::of(batch, watch, shards, |slot| self.view.owner(slot)) {
                Ok(parts) => return Ok(Plan::Parts(parts)),
                Err(Inseparable::Unowned(slot)) => return Err(Unsent::Refused(unowned(slot))),
                Err(Inseparable::Command) => {}
            }
        }
        let owner = |slot| self.view.owner(slot).map(|shard| (shard, self.shard_name(shard)));
        let loan = Loan::of(batch, watch, needs, owner).map_err(|why| {
            Unsent::Refused(match why {
                NoLoan::Command(command) => crossslot(command),
                NoLoan::Unowned(slot) => unowned(slot),
            })
        });
        let mut loan = loan?;
        if loan.lenders.is_empty() {
            let shard =
                self.any_shard().ok_or(Unsent::Refused(Error::ClusterDown("there is no shard".into())))?;
            loan.add(shard, self.shard_name(shard));
        }
        Ok(Plan::Loan(loan))
    }

    /// Checks that a batch can run as things are.
    pub(crate) fn check_batch(&self, batch: &Batch, watch: Option<&Watch>) -> Result<(), Unsent> {
        if self.must_borrow(batch) {
            return self.plan(batch, watch, &[], true).map(|_| ());
        }
        match self.owner_of_all(&batch.slots(watch.into_iter().flat_map(Watch::keys)), watch) {
            Err(Unsent::Across) => self.plan(batch, watch, &[], false).map(|_| ()),
            checked => checked.map(|_| ()),
        }
    }

    /// Sends a shard something about a part of a transaction.
    pub(crate) fn ask_participant(&mut self, whose: &OnBehalf, shard: usize, frame: &[u8]) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let route = self.route(whose.protocol, whose.database);
        let link = self.link_of_route(route, shard);
        if self.upstreams.get(link).is_none_or(|upstream| upstream.state == State::Down) {
            let _ = sender.send(Err(AskError::Down));
            return receiver;
        }
        let ticket = self.add_ticket(Ticket::Batch { session: whose.session, sender });
        let entry = Entry {
            owner: Owner::Ticket(ticket),
            length: 0,
            slot: MANY_SLOTS,
            command: PART_OF_TRANSACTION,
            writes: true,
            refusals: 0,
            searched: false,
            received: self.now,
        };
        self.resend(link, entry, frame);
        receiver
    }

    /// Why a participant gave no answer before the transaction was decided.
    pub(crate) fn unreachable(&self, shard: usize, why: AskError) -> Error {
        match why {
            AskError::Down => Error::Line(format!("{} (nothing was applied)", self.down_error(shard)).into()),
            AskError::Lost => Error::ClusterDown(
                format!(
                    "the connection to shard '{}' broke before the transaction was decided (nothing was applied)",
                    self.shard_name(shard)
                )
                .into(),
            ),
        }
    }
}
