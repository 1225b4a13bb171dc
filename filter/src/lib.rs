//! The Envoy filter: a thin host adapter over `partywall-core`. No decision lives here.
//!
//! `root` owns what outlives a request (configuration, snapshot, reports), `sync` fetches snapshots, `stream` hands
//! each callback to a core session and does what it says, `host` is the only file that calls the proxy on traffic
//! paths. One VM runs per worker thread; nothing is shared between VMs.

#[cfg(target_arch = "wasm32")]
mod config;
#[cfg(target_arch = "wasm32")]
mod crypto;
#[cfg(target_arch = "wasm32")]
mod harvest;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod metrics;
#[cfg(target_arch = "wasm32")]
mod parts;
#[cfg(target_arch = "wasm32")]
mod report;
#[cfg(target_arch = "wasm32")]
mod root;
#[cfg(target_arch = "wasm32")]
mod stream;
#[cfg(target_arch = "wasm32")]
mod sync;

// The SDK's macro makes the entry point, without a docstring.
#[cfg(target_arch = "wasm32")]
#[allow(missing_docs)]
mod entry {
    use crate::root::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root::new()));
    }}
}
