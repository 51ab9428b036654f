//! Somebody who wants to know what a daemon tells.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// The address to tell, and the documents that arrive there.
pub async fn start() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (url, told, answers) = silent().await;
    answers.send_replace(true);
    (url, told)
}

/// The same, and nothing that arrives is answered before this is set.
pub async fn silent() -> (String, mpsc::UnboundedReceiver<Value>, watch::Sender<bool>) {
    let answers = watch::Sender::new(false);
    let (url, told) = serve(answers.subscribe()).await;
    (url, told, answers)
}

async fn serve(answers: watch::Receiver<bool>) -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/told", listener.local_addr().expect("an address"));
    let (sender, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (sender, mut answers) = (sender.clone(), answers.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut part = [0; 4_096];
                loop {
                    let count = stream.read(&mut part).await.expect("a request");
                    if count == 0 {
                        return;
                    }
                    request.extend_from_slice(&part[..count]);
                    // The document is all of the body, and the last thing that comes.
                    let text = String::from_utf8_lossy(&request);
                    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                    if let Ok(document) = serde_json::from_str(body) {
                        let _ = sender.send(document);
                        // Whoever could set it may be gone; what is set stays.
                        if answers.wait_for(|answers| *answers).await.is_err() {
                            return;
                        }
                        let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                        let _ = stream.write_all(answer.as_bytes()).await;
                        return;
                    }
                }
            });
        }
    });
    (url, told)
}
