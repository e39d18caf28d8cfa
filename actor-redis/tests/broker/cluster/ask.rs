//! A client that knows no more than how to ask one server one thing.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Runs one command on a connection of its own.
pub(super) fn try_ask(port: u16, words: &[&str]) -> std::io::Result<String> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(request, "${}\r\n{word}\r\n", word.len());
    }
    server.write_all(request.as_bytes())?;
    read(&mut BufReader::new(server))
}

fn read(server: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    if server.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let (kind, rest) = line.split_at(1);
    match (kind, rest.parse::<usize>()) {
        ("$", Ok(len)) => {
            let mut bytes = vec![0; len + 2];
            server.read_exact(&mut bytes)?;
            bytes.truncate(len);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        ("*", Ok(len)) => {
            let parts: Result<Vec<_>, _> = (0..len).map(|_| read(server)).collect();
            Ok(parts?.join("\n"))
        }
        ("-", _) => Ok(line.to_owned()),
        ("+" | ":", _) => Ok(rest.to_owned()),
        // Nothing.
        _ => Ok(String::new()),
    }
}
