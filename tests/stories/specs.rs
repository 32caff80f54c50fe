//! Specs that stories begin with.

use serde_json::{Value, json};

use crate::world::{CLIENT_ID, SHOP, World};

pub(crate) fn client_credentials() -> Value {
    json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})
}

/// Made with the token of `admin`.
pub(crate) fn storefront() -> Value {
    json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})
}

/// What a person has put in key `token` of Secret `legacy`.
pub(crate) fn custom() -> Value {
    json!({"source": {"custom": {"tokenRef": {"name": "legacy", "key": "token"}}}})
}

/// A spec with further fields.
pub(crate) fn with(mut spec: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("{fields} has no fields") };
    spec.as_object_mut().unwrap().extend(fields);
    spec
}

impl World {
    /// A world with a Ready `admin` token, which never expires and which nothing verifies meanwhile.
    pub(crate) async fn with_custom_admin(name: &str) -> Self {
        let world = Self::with_app(name).await;
        world.hand_in().await;
        world.token("admin", with(custom(), json!({"verifyInterval": "0s"}))).await;
        world.ready("admin").await;
        world
    }

    /// A permanent admin token of a legacy app, put where [`custom`] looks for it.
    pub(crate) async fn hand_in(&self) -> String {
        let value = self.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
        self.secret_of("legacy", &[("token", &value)]).await;
        value
    }
}
