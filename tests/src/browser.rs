//! A real browser on a host, headless: for pages that a person would look at.
//! Promise: a trial sees what the page shows, what it asked for, and what went wrong in it.
//! Must not: reach anything but the host's own network, or leave a profile behind.
//!
//! It is spoken to in the Chrome `DevTools` Protocol, over two pipes: no port is open, and no driver is needed between.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::{Error, Result, Trying};
use crate::host::Host;
use crate::requirements;
use crate::until::{LONG, until};

/// What it is started with. The sandbox is no help to root, and its own chatter no help to a trial.
const FLAGS: [&str; 9] = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// A browser with one page open. Closed when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    told: Receiver<Value>,
    events: VecDeque<Value>,
    session: Option<String>,
    number: u64,
}

/// What a picture of a page is like.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How light it is on the whole, from 0 for black to 255 for white.
    pub light: f64,
    /// How many colours it has.
    pub colours: u64,
}

impl Browser {
    /// Opens a browser of this size on a host, with an empty page.
    pub fn open(host: &Host, width: u32, height: u32) -> Result<Self> {
        requirements::meet_for_browsers()?;
        let profile = host.folder().join("browser");
        let errors = host.place().logs().join("browser.err");
        let errors = File::create(&errors).trying(|| format!("making {}", errors.display()))?;
        let mut child = host
            .command("env")
            .arg(format!("HOME={}", profile.display()))
            // The pipes are its third and fourth file.
            .args(["sh", "-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#, requirements::BROWSER])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--window-size={width},{height}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .trying(|| "starting the browser".to_owned())?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Unmet("the browser has no pipes".to_owned()));
        };
        let (sender, told) = channel();
        thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(std::result::Result::ok) {
                if serde_json::from_slice(&message).is_ok_and(|message| sender.send(message).is_err()) {
                    return;
                }
            }
        });
        let mut browser = Self { child, orders, told, events: VecDeque::new(), session: None, number: 0 };
        let target = browser.order("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.order("Target.attachToTarget", &attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.order(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Goes to a page, until it has loaded.
    pub fn go(&mut self, url: &str) -> Result<()> {
        self.order("Page.navigate", &json!({ "url": url }))?;
        until(LONG, &format!("{url} to load"), || {
            (self.eval("document.readyState").is_ok_and(|state| state == "complete")
                && self.eval("location.href").is_ok_and(|at| at == url))
            .then_some(())
        })
    }

    /// Opens a page from disk.
    pub fn open_file(&mut self, path: &Path) -> Result<()> {
        self.go(&format!("file://{}", path.display()))
    }

    /// What an expression gives in the page.
    pub fn eval(&mut self, expression: &str) -> Result<Value> {
        let order = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let told = self.order("Runtime.evaluate", &order)?;
        if told.get("exceptionDetails").is_some() {
            return Err(Error::Unreadable {
                what: format!("the page, asked `{expression}`,"),
                answer: told.to_string(),
            });
        }
        Ok(told["result"]["value"].clone())
    }

    /// Clicks into the middle of the first thing that is selected so, once it is where it stays: what comes into view may
    /// take another size.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let place = self.eval(&format!(
            "(async () => {{ const it = document.querySelector({}); it.scrollIntoView({{ block: 'center' }}); \
             await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))); const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] }})()",
            json!(selector)
        ))?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.order("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Types into what has the focus.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        self.order("Input.insertText", &json!({ "text": text })).map(drop)
    }

    /// Shows the page as this medium, 'screen' or 'print', and in this colour scheme, 'light' or 'dark'.
    pub fn show_as(&mut self, medium: &str, scheme: &str) -> Result<()> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.order("Emulation.setEmulatedMedia", &json!({ "media": medium, "features": features })).map(drop)
    }

    /// A picture of what is in the window, or of the whole page, as a PNG.
    pub fn picture(&mut self, whole: bool) -> Result<Vec<u8>> {
        let told = self.order("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": whole }))?;
        decoded(&told)
    }

    /// The page as it is printed, as a PDF.
    pub fn printed(&mut self) -> Result<Vec<u8>> {
        let told = self.order("Page.printToPDF", &json!({ "preferCSSPageSize": true }))?;
        decoded(&told)
    }

    /// What a picture is like: the browser itself reads it. Another page is open then.
    pub fn look(&mut self, picture: &[u8]) -> Result<Look> {
        self.go("about:blank")?;
        let told = self.eval(&format!(
            "(async () => {{ const image = new Image(); image.src = 'data:image/png;base64,{}'; await image.decode(); \
             const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d'); \
             canvas.drawImage(image, 0, 0); const bytes = canvas.getImageData(0, 0, image.width, image.height).data; \
             let light = 0; const colours = new Set(); for (let at = 0; at < bytes.length; at += 4) {{ \
             light += (bytes[at] + bytes[at + 1] + bytes[at + 2]) / 3; \
             colours.add(bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2]); }} \
             return [light / (bytes.length / 4), colours.size] }})()",
            STANDARD.encode(picture)
        ))?;
        let (light, colours) = (told[0].as_f64(), told[1].as_u64());
        let look = light.zip(colours).map(|(light, colours)| Look { light, colours });
        look.ok_or_else(|| Error::Unreadable { what: "a picture".into(), answer: told.to_string() })
    }

    /// Every address that was asked for so far.
    pub fn requests(&mut self) -> Vec<String> {
        self.listen();
        let of_requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        of_requests.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// What went wrong in pages so far: errors of scripts, what a policy forbade, what could not be had.
    pub fn complaints(&mut self) -> Vec<String> {
        self.listen();
        let wrong = ["Runtime.exceptionThrown", "Log.entryAdded"];
        let of_wrong = self.events.iter().filter(|event| wrong.iter().any(|method| event["method"] == *method));
        of_wrong.map(|event| event["params"].to_string()).collect()
    }

    fn listen(&mut self) {
        self.events.extend(self.told.try_iter());
    }

    fn order(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = session.clone().into();
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).trying(|| format!("telling the browser {method}"))?;
        loop {
            let told =
                self.told.recv_timeout(LONG).map_err(|_| Error::Late { what: method.to_owned(), after: LONG })?;
            if told["id"] != self.number {
                self.events.push_back(told);
            } else if let Some(error) = told.get("error") {
                return Err(Error::Unreadable { what: method.to_owned(), answer: error.to_string() });
            } else {
                return Ok(told["result"].clone());
            }
        }
    }
}

fn decoded(told: &Value) -> Result<Vec<u8>> {
    let text = told["data"].as_str().unwrap_or_default();
    STANDARD.decode(text).map_err(|_| Error::Unreadable { what: "the browser".into(), answer: "no base64".into() })
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It ends its own processes; killed, it would leave that to them.
        let _ = self.order("Browser.close", &json!({}));
        let ended = until(Duration::from_secs(5), "the browser to end", || self.child.try_wait().ok().flatten());
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
