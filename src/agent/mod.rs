//! stub
use std::{path::PathBuf, time::Duration};
#[derive(Debug)]
pub struct AgentConfig;
impl AgentConfig {
    pub fn for_demo(_: &str, _: Duration, _: Option<PathBuf>) -> Self {
        Self
    }
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct AgentError;
pub async fn run(_: AgentConfig, s: impl Future<Output = ()>) -> Result<(), AgentError> {
    s.await;
    Ok(())
}
