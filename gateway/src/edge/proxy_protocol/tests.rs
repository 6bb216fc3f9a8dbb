use proptest::prelude::*;

use super::{
    header::{LONGEST, SIGNATURE},
    *,
};

/// A header of version 2 with this command, family and block.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, block].concat()
}

fn client(text: &str) -> Found {
    Found::Whole(Announced::Client(text.parse().expect("an address")))
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB];

#[test]
fn lines_announce_a_client_or_nobody() {
    for (line, found) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n", client("192.0.2.1:4711")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", client("255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", client("[2001:db8::1]:4711")),
        ("PROXY UNKNOWN\r\n", Found::Whole(Announced::Local)),
        ("PROXY UNKNOWN ffff:f...f:ffff whatever 65535 65535\r\n", Found::Whole(Announced::Local)),
        ("PROXY UNKNOWNS\r\n", Found::Invalid),
        ("PROXY TCP5 192.0.2.1 198.51.100.1 4711 443\r\n", Found::Invalid),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.01 198.51.100.1 4711 443\r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 04711 443\r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 +4711 443\r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.1  198.51.100.1 4711 443\r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 \r\n", Found::Invalid),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n", Found::Invalid),
        ("proxy tcp4 192.0.2.1 198.51.100.1 4711 443\r\n", Found::Invalid),
        ("GET / HTTP/1.1\r\n", Found::Invalid),
        ("\x16\x03\x01", Found::Invalid),
    ] {
        assert_eq!(parse(line.as_bytes()), found, "{line:?}");
    }
    let longest = format!("PROXY UNKNOWN {}", "a".repeat(LONGEST_LINE - 14));
    assert_eq!(parse(longest.as_bytes()), Found::Invalid, "no line end in 107 octets");
}

#[test]
fn blocks_announce_a_client_or_nobody() {
    let v6: Vec<u8> = [[0x20, 1, 0x0D, 0xB8], [0; 4], [0; 4], [0, 0, 0, 1], [0; 4], [0; 4], [0; 4], [0; 4]]
        .concat()
        .into_iter()
        .chain([0x12, 0x67, 0x01, 0xBB])
        .collect();
    let with = |extension: &[u8]| [&V4, extension].concat();
    for (what, header, found) in [
        ("IPv4", binary(1, 0x11, &V4), client("192.0.2.1:4711")),
        ("IPv6", binary(1, 0x21, &v6), client("[2001:db8::1]:4711")),
        ("an extension", binary(1, 0x11, &with(&[4, 0, 2, 9, 9])), client("192.0.2.1:4711")),
        ("an empty one", binary(1, 0x11, &with(&[4, 0, 0])), client("192.0.2.1:4711")),
        ("one that is cut", binary(1, 0x11, &with(&[4, 0, 3, 9, 9])), Found::Invalid),
        ("half a length", binary(1, 0x11, &with(&[4, 0])), Found::Invalid),
        ("LOCAL", binary(0, 0x00, &[]), Found::Whole(Announced::Local)),
        ("LOCAL with whatever", binary(0, 0x11, &[1]), Found::Whole(Announced::Local)),
        ("unspecified", binary(1, 0x00, &[1, 2, 3]), Found::Whole(Announced::Local)),
        ("a Unix socket", binary(1, 0x31, &[0; 216]), Found::Whole(Announced::Local)),
        ("half a Unix socket", binary(1, 0x31, &[0; 108]), Found::Invalid),
        ("datagrams", binary(1, 0x12, &V4), Found::Invalid),
        ("too short", binary(1, 0x11, &V4[..11]), Found::Invalid),
        ("another command", binary(2, 0x11, &V4), Found::Invalid),
        ("larger than anybody means", binary(0, 0, &[0; LONGEST]), Found::Invalid),
    ] {
        assert_eq!(parse(&header), found, "{what}");
    }
    let mut old = binary(1, 0x11, &V4);
    old[12] = 0x11;
    assert_eq!(parse(&old), Found::Invalid, "version 1 in the binary form");
}

#[tokio::test]
async fn exactly_the_header_is_read_and_only_of_who_is_trusted() {
    let rule = ProxyRule { sources: vec!["10.0.0.0/8".parse().expect("a network")] };
    let (awaited, bounds) = (Awaited::default(), (Duration::from_secs(5), 10));
    let balancer: SocketAddr = "10.1.2.3:4".parse().expect("an address");
    for header in [binary(1, 0x11, &V4), b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".to_vec()] {
        let octets = [header, b"\x16\x03\x01".to_vec()].concat();
        let mut connection = octets.as_slice();
        let read = awaited.read(&mut connection, balancer, &rule, bounds).await;
        assert_eq!((read, connection), (Ok("192.0.2.1:4711".parse().expect("an address")), &b"\x16\x03\x01"[..]));
        let stranger = "192.0.2.9:4".parse().expect("an address");
        let refused = awaited.read(&mut octets.as_slice(), stranger, &rule, bounds).await;
        assert_eq!(refused, Err(Some(Closed::ProxyHeaderInvalid)));
    }
    assert_eq!(awaited.read(&mut &b""[..], balancer, &rule, bounds).await, Err(None), "a check of the port");
    let cut = awaited.read(&mut &b"PROXY "[..], balancer, &rule, bounds).await;
    assert_eq!(cut, Err(Some(Closed::ProxyHeaderInvalid)));
    let full = awaited.read(&mut &b"PROXY "[..], balancer, &rule, (bounds.0, 0)).await;
    assert_eq!(full, Err(Some(Closed::ConnectionsExceeded)));
    let (mut silent, _other) = tokio::io::duplex(64);
    let late = awaited.read(&mut silent, balancer, &rule, (Duration::from_millis(10), 10)).await;
    assert_eq!(late, Err(Some(Closed::HeadTimeout)));
    assert_eq!(awaited.0.load(Ordering::Acquire), 0, "nobody is waited for any more");
}

proptest! {
    #[test]
    fn any_octets_are_judged(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Found::Missing(octets) = parse(&octets) {
            prop_assert!((1..=LONGEST).contains(&octets));
        }
    }

    /// Whoever asks for exactly what is missing ends at the header's last octet, never beyond.
    #[test]
    fn a_header_is_found_from_its_pieces(
        source: SocketAddr, version in 1_u8..=2, extensions in proptest::collection::vec((any::<u8>(), 0_usize..60), 0..4),
    ) {
        let header = written(source, version, &extensions);
        let mut read = 0;
        loop {
            match parse(&header[..read]) {
                Found::Missing(octets) => read += octets,
                found => {
                    let SocketAddr::V6(mut plain) = source else {
                        prop_assert_eq!(found, Found::Whole(Announced::Client(source)));
                        break;
                    };
                    plain.set_flowinfo(0);
                    plain.set_scope_id(0);
                    prop_assert_eq!(found, Found::Whole(Announced::Client(plain.into())));
                    break;
                }
            }
            prop_assert!(read <= header.len(), "{} of {}", read, header.len());
        }
        prop_assert_eq!(read, header.len());
    }

    /// One changed octet never makes a header read further than its bound.
    #[test]
    fn a_spoiled_header_is_bounded(
        source: SocketAddr, version in 1_u8..=2, place: prop::sample::Index, octet: u8,
    ) {
        let mut header = written(source, version, &[(4, 9)]);
        let place = place.index(header.len());
        header[place] = octet;
        header.resize(2 * LONGEST, b'a');
        let mut read = 0;
        while let Found::Missing(octets) = parse(&header[..read]) {
            read += octets;
            prop_assert!(read <= LONGEST);
        }
    }
}

fn written(source: SocketAddr, version: u8, extensions: &[(u8, usize)]) -> Vec<u8> {
    let family = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
    if version == 1 {
        let ip = source.ip();
        return format!("PROXY {} {ip} {ip} {} 443\r\n", family.0, source.port()).into_bytes();
    }
    let address = match source.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut block = [address.clone(), address, source.port().to_be_bytes().to_vec(), vec![1, 187]].concat();
    for (kind, length) in extensions {
        block.push(*kind);
        block.extend_from_slice(&u16::try_from(*length).expect("short").to_be_bytes());
        block.resize(block.len() + length, 7);
    }
    binary(1, family.1, &block)
}
