//! Speaks to all hosts side by side.
#![forbid(unsafe_code)]

use std::future::Future;

use crate::client::Target;

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
