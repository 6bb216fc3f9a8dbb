//! What `health` of both command lines does: asks the running tier whether it is ready.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use crate::cli::{fail, say};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most that is read of it, in octets: a stranger on the port must not fill the memory.
const LARGEST: u64 = 64 << 10;

/// Asks the admin listener that is configured to be at this address.
pub fn health(listen: SocketAddr) -> ExitCode {
    let address = reachable(listen);
    match ask(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => say("ready"),
        Ok(answer) => {
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            fail(format_args!("not ready: {body}"))
        }
        Err(error) => fail(format_args!("nothing answers on {address} (`admin.listen`): {error}")),
    }
}

/// Where a listener of this address is found from the same machine: one on every address is on loopback as well.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(LARGEST).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_over_loopback() {
        let reached = |text: &str| reachable(text.parse().expect("address")).to_string();
        assert_eq!(reached("0.0.0.0:9902"), "127.0.0.1:9902");
        assert_eq!(reached("[::]:9902"), "[::1]:9902");
        assert_eq!(reached("10.0.0.7:9902"), "10.0.0.7:9902");
    }
}
