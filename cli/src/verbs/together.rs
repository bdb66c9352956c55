//! Speaks to all hosts side by side.
#![forbid(unsafe_code)]

use std::future::Future;
use std::time::Duration;

use crate::client::answer::Said;
use crate::client::{Parameter, Target};

/// What came of a call at each host, in the order of the hosts. None: the call was not carried out.
pub async fn each<T, F>(targets: &[Target], call: impl Fn(Target) -> F) -> Vec<Option<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let started: Vec<_> = targets.iter().map(|target| tokio::spawn(call(target.clone()))).collect();
    let mut all = Vec::new();
    for one in started {
        all.push(one.await.ok());
    }
    all
}

/// A verb at each host, as [`each`]. `wait` is how long an endpoint may wait before it answers.
pub async fn change(
    targets: &[Target],
    verb: &'static str,
    parameters: &[Parameter],
    wait: Duration,
) -> Vec<Option<Said>> {
    let call = |target: Target| {
        let parameters = parameters.to_vec();
        async move { target.change(verb, &parameters, wait).await }
    };
    each(targets, call).await
}
