//! How is a server made unreachable without making it forget?

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::process::ports;

/// Passes TCP connections on to a server, for as long as it is open.
#[derive(Debug)]
pub(super) struct Front {
    address: SocketAddr,
    behind: SocketAddr,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Front {
    /// Opens one on a free port.
    pub(super) async fn open(behind: SocketAddr) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        let front = Self {
            address,
            behind,
            task: Mutex::new(None),
        };
        front.reopen().await?;
        Ok(front)
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new connections and breaks those there are.
    pub(super) fn close(&self) {
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = slot.take() {
            task.abort();
        }
    }

    /// Takes connections again, at the same address.
    pub(super) async fn reopen(&self) -> Result<()> {
        self.close();
        let listener = crate::process::wait::until(
            "the port of a closed connection",
            std::time::Duration::from_secs(5),
            async || Ok(TcpListener::bind(self.address).await?),
        )
        .await
        .with_context(|| format!("listening on {}", self.address))?;
        let task = tokio::spawn(serve(listener, self.behind));
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Ok(())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close();
    }
}

async fn serve(listener: TcpListener, behind: SocketAddr) {
    // Dropped with this future, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        // A failed accept concerns that connection alone.
        let Ok((mut from, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let _ = from.set_nodelay(true);
            // Either end may break off; the other then sees it.
            if let Ok(mut to) = TcpStream::connect(behind).await {
                let _ = to.set_nodelay(true);
                let _ = copy_bidirectional(&mut from, &mut to).await;
            }
        });
    }
}
