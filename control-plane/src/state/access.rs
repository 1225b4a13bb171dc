//! Tokens of the control plane's own callers. Only hashes are stored.

use super::{App, lock, now, refused};
use crate::tokens::{self, Role, TokenRecord};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLockReadGuard};

impl App {
    pub(super) fn tokens(&self) -> RwLockReadGuard<'_, BTreeMap<String, TokenRecord>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// All tokens, without themselves.
    pub fn token_records(&self) -> Vec<TokenRecord> {
        self.tokens().values().cloned().collect()
    }

    /// Makes a token and returns it, for the only time.
    ///
    /// # Errors
    /// When the name is taken or the store fails.
    pub fn create_token(&self, name: &str, role: Role) -> Result<String> {
        self.take_token(name, role, tokens::generate(role)?)
    }

    /// Takes a token in that was made here or by a replica.
    ///
    /// # Errors
    /// When it is none of that role, it or its name is taken, or the store fails.
    pub fn take_token(&self, name: &str, role: Role, token: String) -> Result<String> {
        if !tokens::generated(&token, role) {
            return Err(refused(
                "token_invalid",
                "this is no token that a control plane made for this role: they cannot be made up",
            ));
        }
        let _writer = lock(&self.writer);
        if self.tokens().values().any(|token| token.name == name) {
            return Err(refused(
                "token_exists",
                format!("a token named {name:?} exists: revoke it or take another name"),
            ));
        }
        if self.tokens().contains_key(&tokens::hash(&token)) {
            return Err(refused("token_exists", "this token is known already, under another name"));
        }
        let record = TokenRecord { name: name.to_owned(), role, created_at: now() };
        let write = self.store.write()?;
        write.put("token", &tokens::hash(&token), &record)?;
        write.commit()?;
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(tokens::hash(&token), record);
        Ok(token)
    }

    /// Revokes a token by its name.
    ///
    /// # Errors
    /// When there is none, or it is the last admin's.
    pub fn revoke_token(&self, name: &str) -> Result<()> {
        let _writer = lock(&self.writer);
        let found = self.tokens().iter().find(|(_, token)| token.name == name).map(|(h, t)| (h.clone(), t.clone()));
        let Some((hash, record)) = found else {
            return Err(refused("not_found", format!("there is no token named {name:?}")));
        };
        let admins = self.tokens().values().filter(|token| token.role == Role::Admin).count();
        if record.role == Role::Admin && admins == 1 {
            return Err(refused("last_admin", "this is the last admin token: create another one first"));
        }
        let write = self.store.write()?;
        write.remove("token", &hash)?;
        write.commit()?;
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        Ok(())
    }

    /// Who a token belongs to.
    pub fn authenticate(&self, token: &str) -> Option<TokenRecord> {
        self.tokens().get(&tokens::hash(token)).cloned()
    }
}
