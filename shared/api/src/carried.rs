//! What a call's task carries along, for work that goes on in another task.
use std::sync::Arc;

use crate::{Call, Deadline, Meter};

/// The present call, its deadline, and the meter that it counts on.
#[derive(Clone, Debug)]
pub struct Carried {
    call: Option<Arc<Call>>,
    deadline: Option<Deadline>,
    meter: Option<Arc<Meter>>,
}

impl Carried {
    /// All that the present task carries; nothing in background work.
    pub fn current() -> Self {
        Self {
            call: Call::current(),
            deadline: Deadline::current(),
            meter: Meter::current(),
        }
    }

    /// With another deadline, where the work serves more than one call.
    #[must_use]
    pub fn until(self, deadline: Deadline) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// Runs `work` as a part of that call. As with [`Deadline::scope`], nothing stops `work`.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        // Once, and not once in each arm below.
        let work = std::pin::pin!(work);
        let bounded = async {
            match self.deadline {
                Some(deadline) => deadline.scope(work).await,
                None => work.await,
            }
        };
        let metered = async {
            match self.meter {
                Some(meter) => meter.scope(bounded).await,
                None => bounded.await,
            }
        };
        match self.call {
            Some(call) => call.scope(metered).await,
            None => metered.await,
        }
    }
}
