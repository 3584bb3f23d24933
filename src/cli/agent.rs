//! stub
#[derive(Debug, clap::Args)]
pub struct AgentArgs {}
impl AgentArgs {
    pub fn into_config(self) -> Result<crate::agent::AgentConfig, String> {
        Ok(crate::agent::AgentConfig)
    }
}
