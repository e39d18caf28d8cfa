//! How a message shows itself in debug output: by its size, for what it holds is nobody's but its users'.

use std::fmt;

/// So many bytes.
pub(crate) struct Size(pub(crate) usize);

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// Has a struct's debug output show what it holds by its size.
macro_rules! debug_by_size {
    ($name:ident { $body:ident, $($field:ident),* }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let Self { $body, $($field),* } = self;
                let mut shown = f.debug_struct(stringify!($name));
                $(shown.field(stringify!($field), $field);)*
                shown.field(stringify!($body), &$crate::size::Size($body.len())).finish()
            }
        }
    };
}

pub(crate) use debug_by_size;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use crate::args::ArgWriter;
    use crate::broker::Enqueue;
    use crate::delivery::{Delivery, Receipt};
    use crate::headers::Headers;
    use crate::settlement::Outcome;
    use crate::{MessageId, Priority};

    #[test]
    fn no_debug_output_holds_what_a_message_holds() {
        let body = Bytes::from_static(b"4111111111111111");
        let id = MessageId::new();
        let mut args = ArgWriter::new();
        args.push("card", "4111111111111111");
        let mut headers = Headers::default();
        headers.set("card", "4111111111111111");
        assert_eq!(format!("{headers:?}"), r#"{"card"}"#);
        let all: [&dyn std::fmt::Debug; 6] = [
            &args,
            &Enqueue::new(id, Priority::High, body.clone()),
            &Delivery::new(Receipt::new("it"), body.clone()),
            &Outcome::Reschedule { id, priority: Priority::High, body: body.clone(), after: Duration::ZERO },
            &Outcome::DeadLetter { id: None, body: body.clone(), reason: "why".to_owned() },
            &Outcome::Release { body },
        ];
        for shown in all {
            let shown = format!("{shown:?}");
            assert!(!shown.contains("4111") && !shown.contains("52, 49, 49") && shown.contains(" bytes"), "{shown}");
        }
    }
}
