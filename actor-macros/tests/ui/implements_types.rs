//! An implementation takes and returns what was declared.

mod tasks {
    use actor_core::actor;

    #[actor]
    pub async fn process_video(id: u64, title: &str) -> Result<u32, String>;
}

mod other_type {
    #[actor_core::actor(implements = crate::tasks::process_video)]
    async fn process_video(id: u32, title: &str) -> Result<u32, String> {
        let _ = (id, title);
        Ok(1)
    }
}

mod one_less {
    #[actor_core::actor(implements = crate::tasks::process_video)]
    async fn process_video(id: u64) -> Result<u32, String> {
        let _ = id;
        Ok(1)
    }
}

mod one_more {
    #[actor_core::actor(implements = crate::tasks::process_video)]
    async fn process_video(id: u64, title: &str, size: u8) -> Result<u32, String> {
        let _ = (id, title, size);
        Ok(1)
    }
}

mod other_return {
    #[actor_core::actor(implements = crate::tasks::process_video)]
    async fn process_video(id: u64, title: &str) -> Result<u64, String> {
        let _ = (id, title);
        Ok(1)
    }
}

mod no_return {
    #[actor_core::actor(implements = crate::tasks::process_video)]
    async fn process_video(id: u64, title: &str) {
        let _ = (id, title);
    }
}

fn main() {}
