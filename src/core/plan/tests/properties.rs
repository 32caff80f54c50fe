//! What holds for anything that could be observed.

use super::*;

/// One of the older Secrets, which chance gives the same name.
fn older_at(older: &Older) -> String {
    format!("{:?}", older.leave_at)
}

/// What is observed after a step has succeeded and been reported.
fn after(o: &Observed, step: Step) -> Observed {
    let mut o = o.clone();
    let mut fact = (Validity::NotAsked, false);
    let mut next = o.latest().cloned().unwrap_or_else(|| record(o.kind));
    match step {
        // Nothing that chance makes has a bootstrap Secret: it is about the record's owner.
        Step::Begin => {
            let me = o.identity.clone();
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { return o };
            let recorded = offline.recorded.as_mut().expect("a record");
            recorded.live = pair::owned(&o.token, &me, "id", recorded);
            return o;
        }
        Step::Keep | Step::LetGo(_) | Step::Call(Call::Revoke) => return o,
        Step::Call(Call::Issue(_)) => {
            let before = next.clone();
            next = record(o.kind);
            next.revision = before.revision.saturating_add(1);
            next.issued_at = now();
            next.expires_at = next.expires_at.map(|_| now() + hours(24));
            next.previous = before.previous;
            if o.kind == LISTED {
                next.previous.push(previous(before.revision, o.token.spec.overlap()));
            }
            next.token = o.identity.clone();
            if let Ok(Issuer::CustomerAccount(client)) = &o.issuer {
                next.token_id = Some(client.id.clone());
            }
            // No workload runs with a revision that is to come.
            o.workloads.iter_mut().for_each(|w| w.restarted_for = None);
            (next.rollout, next.restarted) = (Some(next.revision), before.restarted);
            next.inputs.clone_from(&o.inputs);
            next.scopes.clone_from(&o.token.spec.required_scopes);
            next.handled_trigger = o.token.spec.rotation_trigger().map(str::to_owned);
            next.handled_rotate_at = o.rotate_at();
            o.turn = None;
            fact = (Validity::Verified(now()), true);
        }
        Step::Call(Call::Verify) => {
            next.token = o.identity.clone();
            fact = (Validity::Verified(now()), false);
        }
        Step::Repair => o.drifted = false,
        Step::Protect => o.unprotected = false,
        Step::Leave => {
            let due: Vec<String> = o.to_leave(now()).map(older_at).collect();
            let marked: Vec<String> = o.to_mark(now()).map(|(older, _)| older_at(older)).collect();
            let at = now() + o.token.spec.overlap();
            o.older.iter_mut().filter(|o| marked.contains(&older_at(o))).for_each(|o| o.leave_at = Some(at));
            o.older.retain(|o| !due.contains(&older_at(o)));
            return o;
        }
        Step::Restart => {
            next.restarted = next.rollout;
            let revision = next.rollout.map(|r| r.to_string());
            for workload in &mut o.workloads {
                // A restart begins a rollout.
                (workload.restarted_for, workload.finished) = (revision.clone(), false);
            }
        }
        Step::Call(Call::EndOverlap) => next.previous.retain(|p| !o.overlap_ended(p, now())),
    }
    if fact.0 != Validity::NotAsked {
        o.suspect = None;
    }
    if let Ok(Issuer::Custom(theirs)) = &o.issuer
        && fact.1
    {
        let value = theirs.clone();
        o.secret = held(&o.token, o.kind, &next);
        let SecretState::Ours(held) = &mut o.secret else { unreachable!() };
        held.value = Some(value);
    } else if fact.1 || o.record() != Some(&next) {
        let value = o.value().cloned();
        o.secret = held(&o.token, o.kind, &next);
        let SecretState::Ours(held) = &mut o.secret else { unreachable!() };
        held.value = if fact.1 { held.value.clone() } else { value };
    }
    o.token.status = Some(project(&snapshot(&o, None, fact.0, Attempts::None), now()));
    o
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Total; always looks again later, never at once; and never rests on an expired credential without saying why.
    #[test]
    fn whatever_is_observed(mut dice in dice()) {
        let o = dice.observed();
        let plan = plan(&o, now());
        prop_assert!(plan.wake_at.is_none_or(|at| at > now()), "{plan:?}");
        let live = o.token.metadata.deletion_timestamp.is_none();
        if live && o.token.spec.suspended() {
            prop_assert!(matches!(plan.step, Step::Keep | Step::Restart | Step::Protect) && hold(&plan) == "Suspended", "{plan:?}");
        }
        prop_assert_eq!(live, !matches!(plan.step, Step::LetGo(_) | Step::Call(Call::Revoke)) && live);
        // Each credential lives 3 seconds before it is renewed, however early it expires.
        let fresh = o.record().is_some_and(|r| (0..4).contains(&(now() - r.issued_at).num_seconds()));
        let expired = !fresh && o.record().and_then(|r| r.expires_at).is_some_and(|at| at <= now());
        if live && expired && plan.step == Step::Keep {
            prop_assert!(plan.hold.is_some(), "{plan:?}");
        }
        if plan.hold.is_some() && plan.step == Step::Keep && !matches!(plan.hold, Some(Hold::Suspended)) {
            prop_assert!(plan.wake_at.is_some(), "{plan:?}");
        }
    }

    /// What the Secret lacks is written before anything that writes nothing is done: once the spec is reported as observed,
    /// nobody would look for it any more.
    #[test]
    fn no_drift_is_left_behind(mut dice in dice()) {
        let o = dice.observed();
        let plan = plan(&o, now());
        let served = o.token.metadata.deletion_timestamp.is_none() && !o.token.spec.suspended() && refusal(&o).is_none();
        if served && o.drifted && o.template.is_ok() && o.frozen().is_none() {
            let writes = match plan.step {
                Step::Repair | Step::Begin | Step::Call(Call::Issue(_) | Call::EndOverlap) => true,
                // It becomes this object's, or the newest, in a write.
                Step::Call(Call::Verify) => adopts(&o),
                // Of an offline token its record comes first, too.
                _ => {
                    hold(&plan) == "BackingOff"
                        && (o.last_failure() == Some(Reason::WriteRefused) || o.keeper().is_some())
                }
            };
            prop_assert!(writes, "{plan:?}");
        }
    }

    /// Every step that succeeds is taken once: what is left is to keep.
    #[test]
    fn steps_come_to_an_end(mut dice in dice()) {
        let mut o = dice.observed();
        let mut taken = Vec::new();
        loop {
            let step = plan(&o, now()).step;
            if matches!(step, Step::Keep | Step::LetGo(_) | Step::Call(Call::Revoke)) {
                break;
            }
            // Each new credential is a restart's own reason.
            let again = taken.iter().rev().take_while(|t| !matches!(t, Step::Call(Call::Issue(_)))).any(|t| *t == step);
            prop_assert!(!(if step == Step::Restart { again } else { taken.contains(&step) }), "{step:?} after {taken:?}");
            taken.push(step);
            o = after(&o, step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_spec_and_no_lifetime_mints_without_end(
        life in prop_oneof![1i64..60, 1i64..4000, 1i64..100_000, 1i64..=34_560_000],
        wish in prop_oneof![
            Just(json!({})),
            (1u8..=90).prop_map(|percent| json!({"renewBeforePercentage": percent})),
            (1u32..200_000).prop_map(|seconds| json!({"renewBefore": format!("{seconds}s")})),
        ],
    ) {
        let life = TimeDelta::seconds(life);
        let began = now();
        let issue = |r: &mut Record, at| (r.issued_at, r.expires_at) = (at, Some(at + life));
        let mut o = healthy(APP, wish).recorded(|r| issue(r, began));
        let (mut clock, mut issued, mut steps) = (began, 0, 0);
        // Virtual time goes from one wake-up to the next, as the controller's does.
        while clock < began + hours(2) && steps < 10_000 {
            steps += 1;
            let plan = plan(&o, clock);
            if matches!(plan.step, Step::Call(Call::Issue(_))) {
                issued += 1;
                o = o.recorded(|r| issue(r, clock));
            } else if plan.step == Step::Call(Call::Verify) {
                o = o.reported(|s| s.last_verified_time = Some(time::to_kube(clock)));
            }
            clock = plan.wake_at.unwrap_or(began + hours(2)).max(clock + TimeDelta::milliseconds(75));
        }
        let least = (life / 10).max(TimeDelta::seconds(3));
        prop_assert!(issued <= hours(2).num_seconds() / least.num_seconds() + 1, "{issued} in two hours");
        prop_assert!(clock >= began + hours(2), "{steps} steps come no further than {clock}");
    }
}
