//! The tests of a broker that keeps schedules.

/// Writes a test for each behaviour that a broker promises which keeps schedules, as
/// [`conformance_tests`](crate::conformance_tests) does for every broker.
#[macro_export]
macro_rules! schedule_conformance_tests {
    ($harness:expr) => {
        $crate::__conformance_tests! { $harness =>
            schedules {
                a_schedule_that_was_stored_is_due_at_once
                a_schedule_is_due_at_its_time_and_not_before
                waiting_for_what_is_due_is_ended_by_a_new_schedule
                a_tick_fires_once_whoever_fires_it
                firing_again_changes_nothing
                what_is_not_due_does_not_fire
                the_messages_of_a_tick_are_ready_in_their_priorities
                a_schedule_that_was_replaced_does_not_fire_as_it_was
                storing_a_schedule_again_changes_nothing
                a_paused_schedule_does_not_fire_until_it_is_resumed
                a_removed_schedule_is_gone
                a_parked_schedule_keeps_its_reason_until_it_is_stored_again
                a_tick_passes_while_the_last_message_is_not_settled
                a_dead_letter_holds_back_no_tick
                a_message_that_was_deleted_holds_back_no_tick
                a_batch_ends_ticks_and_other_messages
                schedules_are_listed_by_name_in_pages
                a_declared_schedule_is_replaced_at_a_start_and_kept_between
            }
        }
    };
}
