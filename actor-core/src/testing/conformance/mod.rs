//! The suite for whoever writes a broker: every promise of the seam, as a test that names it.
//!
//! A storage's tests give it a [`Harness`], and each behaviour becomes a test of its own:
//!
//! ```
//! use std::time::Duration;
//! use actor_core::MemoryBroker;
//! use actor_core::testing::conformance::Harness;
//!
//! struct InProcess;
//!
//! #[async_trait::async_trait]
//! impl Harness for InProcess {
//!     type Broker = MemoryBroker;
//!
//!     async fn broker(&self) -> MemoryBroker {
//!         MemoryBroker::new()
//!     }
//!
//!     async fn advance(&self, broker: &MemoryBroker, duration: Duration) {
//!         broker.advance(duration);
//!     }
//! }
//!
//! actor_core::conformance_tests!(InProcess);
//! ```
//!
//! A behaviour fails by panicking. It waits for no longer than a minute, which only ends what hangs.

pub mod changing_limits;
pub mod claiming;
pub mod conflicts;
pub mod control;
pub mod control_of_lanes;
pub mod enqueueing;
pub mod following;
pub mod inspecting;
pub mod lanes;
pub mod leases;
pub mod limiters;
pub mod limits;
pub mod parking;
pub mod results;
pub mod schedules;
pub mod scheduling;
pub mod settling;
pub mod states;
pub mod uniqueness;
pub mod waiting;

mod scene;
mod schedule_tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::scene::Scene;
use crate::broker::{Broker, Enqueue};
use crate::control::Control;
use crate::delivery::WorkerId;
use crate::inspect::Inspect;
use crate::{MessageId, Priority, QueueName};

/// What a behaviour takes at most. Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(60);

/// How the suite gets at a broker, and at the time that its storage goes by.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The broker under test.
    type Broker: Broker + Inspect + Control;

    /// A broker on a storage that is empty.
    async fn broker(&self) -> Self::Broker;

    /// Lets `duration` of the storage's time pass, while other calls may be waiting. The suite asks
    /// for less than a second in a test, so that a harness may as well sleep.
    async fn advance(&self, broker: &Self::Broker, duration: Duration);

    /// Ends a worker's lease as if its time had passed, with nobody having noticed.
    ///
    /// By default the lease is renewed for no time at all.
    async fn end_lease(&self, broker: &Self::Broker, worker: &WorkerId, queue: &QueueName) {
        let renewed = broker.renew(worker, std::slice::from_ref(queue), Duration::ZERO).await;
        renewed.expect("the storage can be reached");
    }

    /// Puts bytes that no sender of this library wrote before the queue's workers, as a foreign
    /// sender would.
    ///
    /// By default they are enqueued.
    async fn put_raw(&self, broker: &Self::Broker, queue: &QueueName, body: Bytes) {
        let message = Enqueue::new(MessageId::new(), Priority::Normal, body);
        for answer in broker.enqueue(queue, vec![message]).await {
            answer.expect("the storage can be reached");
        }
    }
}

/// Runs one behaviour on a runtime of its own.
#[doc(hidden)]
pub fn run<H: Harness>(harness: impl FnOnce() -> H, behaviour: impl AsyncFnOnce(Scene<H>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a thread can be started").block_on(async {
        let scene = Scene::new(harness()).await;
        let ended = tokio::time::timeout(HANGS, behaviour(scene)).await;
        assert!(ended.is_ok(), "it hangs: not done after {HANGS:?}");
    });
}

/// Writes a test for each behaviour that a broker promises. Takes an expression that makes a
/// [`Harness`](crate::testing::conformance::Harness), evaluated in each test, within a runtime.
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr) => {
        $crate::__conformance_tests! { $harness =>
            enqueueing {
                what_is_enqueued_is_in_flight_once
                every_message_of_a_call_gets_its_answer_in_order
                ten_thousand_messages_in_one_call_arrive_in_order
                a_message_as_large_as_the_limit_goes_through
                bytes_that_are_no_message_are_delivered_as_they_are
                a_durability_out_of_reach_is_never_said_to_be_reached
                queues_do_not_mix
            }
            claiming {
                messages_of_one_priority_are_delivered_in_their_order
                a_higher_priority_goes_first
                a_delivery_ranks_its_message_by_priority
                a_claim_of_one_priority_keeps_to_its_maximum
                a_claim_of_several_priorities_keeps_to_its_maximum
                a_claim_of_none_delivers_none
                a_claim_on_an_empty_queue_ends_at_its_limit
                claimers_at_once_never_share_a_message
                a_waiting_claim_is_woken_by_a_message
                every_waiting_claim_is_woken
                a_stopped_claim_returns
                what_a_claim_that_is_being_stopped_delivers_is_not_lost
            }
            scheduling {
                a_scheduled_message_is_not_delivered_before_its_time
                a_waiting_claim_gets_a_scheduled_message_at_its_time
                a_waiting_claim_gets_what_is_scheduled_earlier_than_what_it_waits_for
                scheduled_messages_are_delivered_by_their_time
                a_scheduled_message_keeps_its_priority
                a_due_message_goes_before_a_ready_one_of_lower_priority
            }
            settling {
                done_ends_a_message
                settling_twice_changes_nothing
                a_retry_is_scheduled_in_its_new_form_and_delivered_again
                a_retry_goes_to_its_priority
                a_dead_lettered_message_is_kept_with_its_reason
                a_released_message_goes_first_in_its_new_form
                released_messages_keep_their_order
                a_waiting_claim_is_woken_by_what_is_released_or_retried
                a_batch_settles_each_delivery_its_own_way
                only_the_holder_says_that_a_run_failed
                a_settled_message_is_never_recovered
                an_empty_batch_settles_nothing
            }
            leases {
                a_dead_workers_messages_are_recovered_oldest_first
                every_death_counts_as_a_crash
                a_lease_that_ended_within_the_grace_is_held
                what_a_dead_worker_held_before_is_recovered_last_and_by_itself
                recovery_of_none_declares_nobody_dead
                what_a_living_worker_holds_is_not_recovered
                recoverers_at_once_never_share_a_message
                a_lease_that_ended_unnoticed_is_prolonged
                a_worker_declared_dead_has_lost_its_lease
                a_worker_whose_lease_has_ended_recovers_nothing
                a_lease_lost_at_one_queue_is_lost
                a_worker_without_a_lease_is_dead
                a_deregistered_workers_messages_are_recovered_at_once
                a_late_success_counts_and_the_new_holders_does_not
                a_late_failure_changes_nothing
                a_renewal_reports_deaths_until_all_is_recovered
                what_outlived_a_worker_stays_a_suspect_when_it_is_stored_again
                a_recovered_message_can_be_released
                the_death_of_a_worker_that_was_stopping_is_no_crash
            }
            parking {
                a_parked_message_waits_for_a_worker_with_the_ability
                a_worker_finds_its_own_among_many_abilities
                what_is_parked_is_delivered_by_ability_and_then_by_age
                a_renewal_names_the_queues_in_which_messages_are_parked
                a_parked_message_is_ready_for_anybody_at_its_time
                what_was_parked_and_is_retried_waits_for_its_retry
                a_parked_message_that_is_deleted_is_not_delivered
                only_the_holder_parks_a_message
                a_paused_queue_unparks_nothing
                what_is_unparked_can_be_settled_and_recovered
            }
            control {
                a_message_that_waits_is_cancelled_and_never_delivered
                a_parked_message_is_cancelled
                the_worker_learns_what_was_cancelled_in_flight
                what_was_cancelled_in_flight_is_not_stored_again
                a_dead_workers_cancelled_message_is_recovered_as_cancelled
                a_dead_letter_is_not_cancelled_and_can_be_replayed
                a_message_is_deleted_by_its_id_unless_it_is_in_flight
                a_message_that_waits_is_rescheduled_by_its_id
                a_dead_letter_is_not_rescheduled
                all_that_match_are_cancelled_in_every_state
                all_that_match_are_deleted_unless_they_are_in_flight
                all_that_match_are_rescheduled
                a_page_is_bounded
                control_of_a_queue_that_was_never_used_is_an_error
                what_is_cancelled_or_deleted_frees_its_unique_key
                a_rescheduled_message_keeps_its_unique_key
                what_follows_a_message_is_rescheduled_and_cancelled_behind_it
            }
            conflicts {
                the_newest_replaces_one_that_waits
                a_postponed_message_waits_for_the_last_and_no_longer_than_it_may
                a_message_in_its_lane_holds_its_key_and_is_replaced_where_it_waits
                what_is_sent_during_a_run_follows_it
                what_follows_a_message_follows_its_dead_letter_and_its_start
            }
            uniqueness {
                a_message_whose_key_is_held_is_not_stored
                of_messages_of_one_key_in_one_call_the_first_is_stored
                of_concurrent_senders_of_one_key_one_is_new
                a_key_is_held_wherever_its_message_is
                no_other_settlement_frees_a_key
                a_deleted_message_frees_its_key
                a_dead_letter_holds_no_key_and_its_replay_takes_it_again
                a_key_until_the_start_is_free_once_the_run_begins
                a_window_begins_when_its_message_is_stored_and_lasts_for_its_time
                an_idempotency_key_stores_one_message_in_its_window
                an_idempotency_key_remembers_what_stands_for_its_message
            }
            following {
                what_follows_is_stored_in_its_queue
                something_follows_from_a_dead_letter_too
                nothing_follows_from_what_is_settled_already
                nothing_follows_from_a_late_failure
                a_batch_has_each_settlement_followed_by_its_own
                what_was_cancelled_in_flight_and_fails_has_nothing_follow
                what_held_a_slot_and_a_key_frees_them_and_is_followed
                what_follows_is_scheduled_waits_and_is_unique_as_what_is_sent
                the_delay_of_what_follows_begins_with_the_settlement
                whoever_relays_each_message_arrives_once_and_in_order
                many_and_large_messages_follow_from_one_settlement
                what_waits_to_arrive_is_counted_and_a_paused_queue_takes_it
                nothing_may_follow_from_what_is_stored_again
            }
            control_of_lanes {
                a_message_in_a_lane_is_found_by_its_id
                a_filter_reaches_all_that_waits_in_lanes
                what_leaves_before_it_ran_frees_its_slot
                a_cancelled_message_that_is_released_frees_its_slot
            }
            inspecting {
                messages_are_counted_in_every_state
                a_queue_that_was_used_is_known
                a_queue_that_was_never_used_is_an_error_and_stays_unknown
                pages_show_every_message_once
                a_listed_message_says_what_it_is
                a_listed_message_is_read_again_until_it_moves_on
                one_dead_letter_is_replayed
                all_dead_letters_are_replayed_in_their_priorities
                a_message_is_deleted_unless_it_is_in_flight
                a_state_is_purged_unless_it_is_in_flight
                a_paused_queue_delivers_nothing_until_it_is_resumed
            }
            limits {
                a_queue_has_no_more_in_flight_than_its_concurrency_over_all_workers
                a_key_has_no_more_in_flight_than_its_concurrency_over_all_workers
                a_queue_starts_no_more_than_its_rate
                a_key_starts_no_more_than_its_rate
                what_a_rate_did_not_use_is_saved_up_to_its_burst
                a_message_takes_what_it_costs
                what_costs_more_than_a_limit_runs_alone
                what_costs_more_than_a_burst_uses_all_that_it_costs
                what_costs_much_is_not_overtaken_for_ever
                a_retry_waits_for_its_limits_when_it_is_due
                a_scheduled_message_waits_for_its_limits_when_it_is_due
                a_limit_elsewhere_closes_the_lane_and_its_message_is_first_afterwards
                a_limit_elsewhere_delays_a_message_without_a_lane
                what_is_declared_last_holds_for_what_waits
                a_rate_that_is_raised_holds_at_once
                a_paused_queue_grants_nothing
                what_has_no_lane_goes_on_beside_what_has_one
                what_has_a_lane_is_not_overtaken_for_ever_by_what_has_none
                keys_are_told_apart_by_every_byte
            }
            lanes {
                lanes_take_turns
                a_fair_queue_shares_by_how_long_messages_run
                a_newcomer_begins_with_the_others
                newcomers_without_end_starve_nobody
                a_lane_that_empties_and_comes_back_gains_nothing
                priorities_hold_within_a_lane
                each_way_of_settling_frees_the_slot
                a_stale_settlement_frees_nothing
                what_is_released_keeps_its_slot
                what_is_released_takes_its_start_once
                what_a_dead_worker_held_counts_until_its_new_holder_settles_it
                a_late_success_frees_the_slot_once
                what_was_parked_is_delivered_within_its_limits
                a_replayed_dead_letter_waits_in_its_lane
                many_keys_of_one_message_are_delivered_once
            }
            changing_limits {
                what_is_set_wins_over_what_is_declared
                a_limit_that_is_lowered_is_reached_as_messages_end
                a_limit_of_one_key_holds_for_it_alone
                a_rate_that_is_set_holds_at_once
                a_paused_lane_lets_nothing_go_until_it_is_resumed
                a_key_of_more_weight_gets_more
                limits_are_listed_as_they_were_declared_and_set
                lanes_are_listed_with_how_they_stand
                a_lane_that_is_closed_is_listed_with_when_it_opens
                a_queue_without_lanes_refuses_limits
            }
            waiting {
                waiting_messages_are_counted_and_listed_by_lane
                a_waiting_message_is_read_and_deleted
                all_that_waits_is_purged
                deleting_or_purging_what_was_let_go_frees_its_slot
                a_waiting_claim_is_woken_when_another_worker_frees_a_slot
                a_waiting_claim_gets_a_message_when_its_rate_opens
                a_waiting_claim_is_woken_by_a_message_of_a_lane
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($harness:expr => $($topic:ident { $($behaviour:ident)* })*) => {
        $(mod $topic {
            #[allow(unused_imports)]
            use super::*;

            $(#[test]
            fn $behaviour() {
                $crate::testing::conformance::run(|| $harness, $crate::testing::conformance::$topic::$behaviour)
            })*
        })*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_behaviour_is_in_the_macro() {
        let lists = [include_str!("mod.rs"), include_str!("limiters.rs"), include_str!("schedule_tests.rs")];
        let listed: Vec<&str> = lists.iter().flat_map(|list| list.lines()).map(str::trim).collect();
        for topic in [
            include_str!("changing_limits.rs"),
            include_str!("claiming.rs"),
            include_str!("conflicts.rs"),
            include_str!("control.rs"),
            include_str!("control_of_lanes.rs"),
            include_str!("enqueueing.rs"),
            include_str!("following.rs"),
            include_str!("inspecting.rs"),
            include_str!("lanes.rs"),
            include_str!("leases.rs"),
            include_str!("limiters.rs"),
            include_str!("limits.rs"),
            include_str!("parking.rs"),
            include_str!("schedules.rs"),
            include_str!("scheduling.rs"),
            include_str!("settling.rs"),
            include_str!("uniqueness.rs"),
            include_str!("waiting.rs"),
        ] {
            for behaviour in topic.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let name = behaviour.split_once('<').map_or(behaviour, |(name, _)| name);
                let own = topic.lines().any(|line| line.trim() == name);
                assert!(own || listed.contains(&name), "`{name}` is not in `conformance_tests!`");
            }
        }
    }
}
