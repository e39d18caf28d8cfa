//! A server that answers what a test tells it to, for what no server at hand would answer.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Starts a server that answers each command with what `answer` gives, and returns its URL.
pub(crate) async fn serve(answer: impl Fn(&[String]) -> String + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(converse(client, answer.clone()));
        }
    });
    format!("redis://127.0.0.1:{port}")
}

async fn converse(client: TcpStream, answer: impl Fn(&[String]) -> String) {
    let mut client = BufReader::new(client);
    while let Some(command) = read(&mut client).await {
        client.write_all(answer(&command).as_bytes()).await.unwrap();
    }
}

async fn read(client: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = number(client, '*').await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(client, '$').await? + 2];
        client.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).unwrap());
    }
    Some(words)
}

async fn number(client: &mut BufReader<TcpStream>, mark: char) -> Option<usize> {
    let mut line = String::new();
    client.read_line(&mut line).await.ok()?;
    line.trim().strip_prefix(mark)?.parse().ok()
}

/// What a server answers that says `about` itself in `INFO server`.
pub(crate) fn introduced(command: &[String], about: &str) -> String {
    match command[0].as_str() {
        "HELLO" => "%0\r\n".to_owned(),
        "CLIENT" => ":7\r\n".to_owned(),
        "TIME" => "*2\r\n$1\r\n1\r\n$1\r\n1\r\n".to_owned(),
        "INFO" => {
            let text = format!("# Server\r\n{about}\r\nrun_id:abc\r\n");
            format!("${}\r\n{text}\r\n", text.len())
        }
        _ => "+OK\r\n".to_owned(),
    }
}
