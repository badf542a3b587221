//! What clients may do, and what is done in their name.
//!
//! A client whose user may do all is never asked. Others are asked here before a command is queued, answered or sent; what only
//! a shard can see, the commands that scripts call and those of a transaction when it runs, is asked there: such
//! requests go as `SLOTWAY-AS`.

use std::sync::Arc;

use slotway_common::acl::{Context, Denied, Entry, Login, Reason, User, Users};
use slotway_common::command::{Command, Flags, Route, find_by_full_name};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::pubsub::Kind;
use slotway_common::resp::Args;

use super::on_behalf::Name;
use super::{Core, Flow, Request, SessionId};
use crate::client_line::describe;
use crate::session::Session;

impl Core {
    /// Takes over the users. Who is gone, or may not listen any more to what it listens to, is closed; others stay logged
    /// in, as in Redis.
    pub fn apply_users(&mut self, users: &Arc<Users>) {
        self.users = Arc::clone(users);
        let first = !std::mem::replace(&mut self.users_known, true);
        for id in self.sessions.ids() {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            if first {
                // It came before anything was known.
                session.login = Login::new(users);
                continue;
            }
            let before = Arc::clone(session.login.user());
            let stays = session.login.follow(users);
            let user = session.login.user();
            if stays && (Arc::ptr_eq(&before, user) || may_listen(session, user)) {
                continue;
            }
            // It may be this client's own doing, which is answered first.
            if session.busy && session.waits.is_empty() {
                self.end_after_this(id);
            } else {
                self.close_now(id);
            }
        }
        self.update_serving();
    }

    /// Checks that a client has logged in, and that its user may run a call.
    ///
    /// # Errors
    /// The error reply.
    pub(super) fn check_user(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        if session.login.is_required(&self.users) && !command.flags.contains(Flags::NO_AUTH) {
            return Err(Error::NoAuth);
        }
        let is_queued = session.transaction.is_some() && command.is_queued();
        if command.route == Route::Internal || is_queued && command.flags.contains(Flags::NO_MULTI) {
            return Ok(());
        }
        let user = session.login.user();
        match user.check(command, args) {
            // What only listens is refused anyway.
            Ok(()) if is_queued || session.only_listens() => Ok(()),
            Ok(()) => user.check_sort(command, args),
            Err(denied) => {
                self.note_denied(id, denied.into(), denied.object(command, args), None);
                Err(denied.error(command))
            }
        }
    }

    /// Refuses a call that a client may not make, or not now. Where that is EXEC, nothing is left of the transaction.
    #[cold]
    pub(super) fn refuse_denied(&mut self, id: SessionId, command: &'static Command, error: &Error) {
        if command.name == "exec" {
            self.end_transaction(id);
            self.refuse(id, &error.of_exec());
        } else {
            self.refuse(id, error);
        }
    }

    /// Checks that a call may run that was queued when it was allowed.
    ///
    /// # Errors
    /// What stands in the place of its reply.
    pub(crate) fn check_queued(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        let denied: Denied = match self.sessions.get(id) {
            Some(session) if !session.login.is_free() => match session.login.user().check(command, args) {
                Ok(()) => return Ok(()),
                Err(denied) => denied,
            },
            _ => return Ok(()),
        };
        self.note(id, denied.into(), Context::Multi, denied.object(command, args), None);
        Err(denied.error_in_exec())
    }

    /// Counts what a client was denied, and notes it for ACL LOG. `name` is the user's if that is not the client's.
    #[cold]
    pub(crate) fn note_denied(&mut self, id: SessionId, reason: Reason, object: &[u8], name: Option<&[u8]>) {
        // What is answered at once while its client is busy belongs to the EXEC that it is busy with.
        let in_transaction =
            self.sessions.get(id).is_some_and(|session| session.transaction.is_some() || session.busy);
        let context = if in_transaction { Context::Multi } else { Context::TopLevel };
        self.note(id, reason, context, object, name);
    }

    fn note(&mut self, id: SessionId, reason: Reason, context: Context, object: &[u8], name: Option<&[u8]>) {
        let Some(session) = self.sessions.get(id) else { return };
        self.counters.denied.at(reason as usize).inc();
        let name = name.unwrap_or_else(|| session.login.user().name());
        let line = describe(session, self.now, 0);
        let entry = Entry::new(reason, context, object, name, clock::now_us(), &line);
        self.acl_log.lock().add(entry, self.policy.acl_log);
    }

    /// Sends a call of a script in the name of a client whose user may not do all.
    #[cold]
    pub(super) fn forward_script(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        let (slot, owner) = match self.place_of(id, command, &request.args) {
            Ok(found) => found,
            Err(flow) => return flow,
        };
        let key = slotway_common::command::keys(command, &request.args).ok().and_then(|keys| keys.first());
        let key = key.map(|index| (slot, request.args.at(index)));
        let mut frame = Vec::new();
        request.args.encode(&mut frame);
        let Some((row, mut frame)) = self.in_the_name_of(id, &frame, key.as_slice()) else {
            return self.forward_to(id, command, request, slot, owner);
        };
        if let Some(mark) = self.mark {
            (frame, _) = mark.wrap(&frame);
        }
        let request = Request { frame: Some(&frame), ..*request };
        self.forward_to(id, row, &request, slot, owner)
    }

    /// The request that has a shard run another one in the name of a client, with the row of its command; nothing for a
    /// client whose user may do all.
    pub(super) fn in_the_name_of(
        &self,
        id: SessionId,
        frame: &[u8],
        slots: &[(u16, &[u8])],
    ) -> Option<(&'static Command, Vec<u8>)> {
        let name = self.name_of(id)?;
        Some((find_by_full_name(b"slotway-as")?, name.wrap(frame, slots)))
    }

    /// In whose name requests of a client are to run; nothing for one whose user may do all.
    pub(super) fn name_of(&self, id: SessionId) -> Option<Name> {
        let session = self.sessions.get(id).filter(|session| !session.login.is_free())?;
        let user = session.login.user();
        let client = describe(session, self.now, 0);
        Some(Name { user: user.name().to_vec(), created: user.created(), client })
    }
}

fn may_listen(session: &Session, user: &User) -> bool {
    session.subscriptions.as_ref().is_none_or(|subscriptions| {
        Kind::ALL.into_iter().all(|kind| {
            subscriptions.names(kind).iter().all(|name| user.may_listen(name, kind == Kind::Pattern))
        })
    })
}
