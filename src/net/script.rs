//! What does a client do with an answer that no proper server gives? (Tests only.)

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server that gives prepared answers, one per connection, and keeps the requests. It ends with
/// the test.
pub(crate) struct Script {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Script {
    /// Answers are complete HTTP messages; `{url}` in them is the server's own URL, `{length}` the
    /// length of the body. After the last one it closes connections without a word.
    pub(crate) async fn start(answers: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let answers = answers
            .iter()
            .map(|answer| {
                let answer = answer.replace("{url}", &url);
                let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                let length = body.len().to_string();
                answer.replace("{length}", &length)
            })
            .collect::<Vec<_>>();
        let task = tokio::spawn(async move {
            let mut answers = answers.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                seen.lock().unwrap().push(request);
                if let Some(answer) = answers.next() {
                    // The client may hang up before the end, on purpose.
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self {
            url,
            requests,
            task,
        }
    }

    /// Where it is, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The requests so far, each with its body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Puts an answer together; `head` is the status and perhaps more header lines.
pub(crate) fn answer(head: &str, body: &str) -> String {
    let head = head.replace('\n', "\r\n");
    format!("HTTP/1.1 {head}\r\nContent-Length: {{length}}\r\nConnection: close\r\n\r\n{body}")
}

async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            Ok(0) | Err(_) => return text,
        }
    }
}
