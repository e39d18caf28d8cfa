//! The same for schedules: what a tick stores is a message as any other.

use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_core::inspect::Page;
use actor_core::schedule::{
    Change, Declared, Due, Fired, Firing, ListedSchedule, NewSchedule, ScheduleListing, Schedules,
};
use actor_core::{BrokerError, QueueName};
use async_trait::async_trait;

use super::Recorder;
use crate::history::What;

impl<B: Broker> Recorder<B> {
    fn kept(&self) -> &dyn Schedules {
        self.broker.schedules().expect("this broker keeps schedules")
    }
}

#[async_trait]
impl<B: Broker> Schedules for Recorder<B> {
    async fn upsert(&self, queue: &QueueName, schedules: &[NewSchedule]) -> Vec<Result<(), BrokerError>> {
        self.kept().upsert(queue, schedules).await
    }

    async fn declare(
        &self,
        queue: &QueueName,
        schedules: &[NewSchedule],
        begins: bool,
    ) -> Result<Declared, BrokerError> {
        self.kept().declare(queue, schedules, begins).await
    }

    async fn due(&self, queue: &QueueName, max: usize, wait: &Wait) -> Result<Due, BrokerError> {
        self.kept().due(queue, max, wait).await
    }

    async fn fire(&self, queue: &QueueName, firings: &[Firing]) -> Vec<Result<Fired, BrokerError>> {
        let ids = |firing: &Firing| {
            firing.messages.iter().flat_map(|(messages, _)| messages).map(|message| message.id).collect::<Vec<_>>()
        };
        for id in firings.iter().flat_map(ids) {
            self.journal.note(&What::Invoked { id, actor: "ticked".to_owned(), delay_ms: 0, lane: None });
        }
        let answers = self.kept().fire(queue, firings).await;
        // Whoever else fires the same tick knows what became of it, so that nothing else is certain here.
        for (firing, answer) in firings.iter().zip(&answers) {
            if matches!(answer, Ok(Fired::Fired)) {
                ids(firing).into_iter().for_each(|id| self.journal.note(&What::Acknowledged { id }));
            }
        }
        answers
    }

    async fn list_schedules(&self, queue: &QueueName, page: Page) -> Result<ScheduleListing, BrokerError> {
        self.kept().list_schedules(queue, page).await
    }

    async fn read_schedule(&self, queue: &QueueName, name: &str) -> Result<Option<ListedSchedule>, BrokerError> {
        self.kept().read_schedule(queue, name).await
    }

    async fn change_schedule(&self, queue: &QueueName, name: &str, change: Change) -> Result<bool, BrokerError> {
        self.kept().change_schedule(queue, name, change).await
    }
}
