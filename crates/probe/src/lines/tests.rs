use std::net::TcpListener;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// What `future` gives, while something happens to the lines.
async fn with<T>(lines: &Lines, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(given) = future.as_mut().poll(cx) {
                return Poll::Ready(given);
            }
            ready!(lines.poll_turn(cx)).unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_line_is_used_again_and_is_as_new() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lines = Lines::new(1).unwrap();
    let mut sockets = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut line = with(&lines, lines.connect(address)).await.unwrap();
        sockets.insert(line.as_raw_fd());
        let (mut stream, from) = listener.accept().unwrap();
        assert_eq!(from, line.local_addr().unwrap());
        // More than fits: it waits until there is room, and until all has come.
        let sent = vec![7; 4 << 20];
        let talk = std::thread::spawn(move || {
            let mut heard = Vec::new();
            io::Read::read_to_end(&mut stream, &mut heard).unwrap();
            io::Write::write_all(&mut stream, &heard).unwrap();
            (stream, heard.len())
        });
        with(&lines, async {
            line.write_all(&sent).await.unwrap();
            line.shutdown().await.unwrap();
            let mut back = vec![0; sent.len()];
            line.read_exact(&mut back).await.unwrap();
            assert_eq!(back, sent);
        })
        .await;
        assert_eq!(talk.join().unwrap().1, sent.len());
    }
    assert_eq!(sockets.len(), 1, "one line was enough");
}

#[tokio::test]
async fn lines_beyond_what_is_kept_are_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lines = Lines::new(3).unwrap();
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(with(&lines, lines.connect(address)).await.unwrap());
        drop(listener.accept().unwrap());
    }
    drop(all);
    let mut seats = lines.lock();
    assert_eq!((seats.idle(Family::V4).len(), seats.free.len()), (3, 5));
}

#[tokio::test]
async fn a_refusal_leaves_a_line_as_new() {
    let lines = Lines::new(1).unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for _ in 0..3 {
        let error = with(&lines, lines.connect(nobody)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
    assert_eq!(lines.lock().seats.len(), 1);
}
