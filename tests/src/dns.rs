//! A DNS server over UDP that knows one answer for every name (RFC 1035).

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

/// A running server; it ends with its handle.
#[derive(Debug)]
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it answers; `None` for nothing at all.
    addresses: Arc<Mutex<Option<Vec<Ipv4Addr>>>>,
    questions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Dns {
    /// Starts a server that answers questions for A with these addresses and this TTL in seconds, and all others with an
    /// empty answer.
    ///
    /// # Errors
    /// Those of binding a socket.
    pub async fn start(addresses: Vec<Ipv4Addr>, ttl: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let address = socket.local_addr()?;
        let addresses = Arc::new(Mutex::new(Some(addresses)));
        let questions = Arc::new(AtomicUsize::new(0));
        let (known, counted) = (addresses.clone(), questions.clone());
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut question).await {
                counted.fetch_add(1, Ordering::AcqRel);
                let known = known.lock().expect("unpoisoned").clone();
                if let Some(answer) = known.and_then(|known| answer(&question[..length], &known, ttl)) {
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
        });
        Ok(Self { address, addresses, questions, task })
    }

    /// From now on it answers with these.
    pub fn answer(&self, addresses: Vec<Ipv4Addr>) {
        *self.addresses.lock().expect("unpoisoned") = Some(addresses);
    }

    /// From now on it does not answer.
    pub fn silence(&self) {
        *self.addresses.lock().expect("unpoisoned") = None;
    }

    /// How many questions came.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::Acquire)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

/// The answer to a question; `None` where it cannot be read.
fn answer(question: &[u8], addresses: &[Ipv4Addr], ttl: u32) -> Option<Vec<u8>> {
    let name = question.get(HEADER..)?.iter().position(|octet| *octet == 0)? + 1;
    let asked = question.get(HEADER..HEADER + name + 4)?;
    let addresses = if asked[name..name + 2] == TYPE_A { addresses } else { &[] };
    let mut answer = question[..2].to_vec();
    // A response, recursion desired and available, no error; one question, so many answers.
    answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    answer.extend(asked);
    for address in addresses {
        // The name is the question's; A, IN.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
