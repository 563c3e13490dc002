//! DESIGN §3b: managers find the others by the tags of a cloud's machines, and finding nobody makes no swarm.

use std::path::Path;
use std::time::Duration;

use lab::cluster::{Broker, Run, finish, write_private};
use lab::{Failed, Host, Pool, Process, Role, until};
use serde_json::Value;

use crate::managers::invite_file;

const TOKEN: &str = "dop_v1_lab-token-of-the-cloud";

/// An interface of AWS is five seconds of work for a processor that has nothing else to do.
const LOADED: Duration = Duration::from_secs(90);

/// A founder whose address no invite and no ledger tells: who comes in has found it elsewhere. At the one that they tell, each
/// machine is refused by itself, at once.
fn founder(host: &Host) -> Result<(Broker<'_>, String), Failed> {
    let mut broker = Broker::init(host)?;
    broker.up_with(&["--form", "--advertise", "127.0.0.1:9"])?;
    let invite = broker.invite(&["--role", "manager", "--uses", "2"])?;
    Ok((broker, invite))
}

fn managers(host: &Host) -> Result<usize, Failed> {
    Ok(lab::nodes(host)?.iter().filter(|node| node.role == Role::Manager).count())
}

/// A cloud's interface of `tests/clouds`, started.
fn cloud(host: &Host, program: &str, words: &[&str]) -> Result<Process, Failed> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = host.command("python3");
    command.arg(house.join("clouds").join(program)).args(words);
    Ok(host.spawn("cloud", command)?)
}

/// What it says once it is ready.
fn ready(cloud: &mut Process) -> Result<String, Failed> {
    let said = until(LOADED, "the cloud's interface to be ready", || {
        let ended = cloud.ended().ok().flatten().is_some();
        (ended || cloud.stdout().contains("ready")).then(|| cloud.stdout())
    })?;
    if said.contains("ready") { Ok(said) } else { Err(cloud.stderr().into()) }
}

/// `broker up`, for as long as a few looks take where there is much else to do.
fn briefly(broker: &Broker<'_>, arguments: &[&str]) -> Result<Run, Failed> {
    Ok(finish(broker.spawn_up(&[arguments, &["--timeout", "8s"]].concat())?)?)
}

/// Where a machine of AWS is told about itself: on this host's own link.
fn tell_on_link(host: &Host) -> Result<(), Failed> {
    let ended = host.command("ip").args(["address", "add", "169.254.169.254/32", "dev", "lo"]).status()?;
    if ended.success() { Ok(()) } else { Err(format!("ip address add: {ended}").into()) }
}

pub(crate) fn a_manager_finds_the_others_by_the_tags_of_aws(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/moto");
    if !libraries.is_dir() {
        return Err("there is no EC2 in target/moto: './run test' gets it".into());
    }
    tell_on_link(&hosts[1])?;
    let live = format!("{}:manager", hosts[0].reached_at());
    let instances = [&live, "10.77.200.1:worker", "10.77.200.2:manager:stopped"];
    let libraries = libraries.display().to_string();
    let words = [&[&*libraries, "80"], &instances[..]].concat();
    let mut server = cloud(&hosts[1], "aws.py", &words)?;
    let (_first, invite) = founder(&hosts[0])?;
    let file = invite_file(&hosts[1], &invite)?;
    let said: Value = serde_json::from_str(&ready(&mut server)?)?;
    let said = |what: &str| said["ready"][what].as_str().map(str::to_owned).ok_or("no credentials");
    let endpoint = format!("endpoint=http://{} allow_http=true", hosts[1].reached_at());
    let tagged = |value: &str| format!("provider=aws tag_key=role tag_value={value} {endpoint}");

    // Nobody carries it: nothing is made, whoever has the keys.
    let lone = Broker::init_in(&hosts[1], hosts[1].folder().join("lone"))?;
    let alone = briefly(&lone, &["--discover", &tagged("nobody")])?;
    assert!(alone.code == 78 && alone.stderr.contains("broker up --form"), "{alone:?}");
    let mut second = Broker::nowhere(&hosts[1])?;
    let nobody = briefly(&second, &["--invite-file", &file, "--discover", &tagged("nobody")])?;
    assert!(nobody.code == 69 && nobody.stderr.contains("no machine that runs carries it"), "{nobody:?}");
    let mut poor = Broker::nowhere(&hosts[1])?;
    poor.with("AWS_ACCESS_KEY_ID", &said("key")?);
    poor.with("AWS_SECRET_ACCESS_KEY", &said("secret")?);
    let poor = briefly(&poor, &["--invite-file", &file, "--discover", &tagged("manager")])?;
    assert!(poor.code == 69 && poor.stderr.contains("may not ec2:DescribeInstances"), "{poor:?}");
    assert_eq!(hosts[1].swarm_state()?.trim(), "inactive");

    // By the machine's own role, in the region where it is. A proxy, which is nobody here, is never asked for those.
    second.with("HTTP_PROXY", "http://127.0.0.1:9");
    second.with("NO_PROXY", &hosts[1].reached_at().to_string());
    second.up_with(&["--invite-file", &file, "--discover", &tagged("manager"), "--log", "trace"])?;
    let told = second.process()?.stderr();
    assert!(told.contains("looked for managers") && told.contains("found=1"), "{told}");
    assert!(!told.contains(&said("session")?) && !told.contains("AWS4-HMAC-SHA256"), "credentials in the log");
    assert_eq!(managers(&hosts[0])?, 2);
    Ok(())
}

pub(crate) fn a_manager_finds_the_others_by_the_tags_of_digitalocean_and_vultr(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let live = hosts[0].reached_at().to_string();
    let mut server = cloud(&hosts[0], "tokens.py", &["8000", TOKEN, &live, &hosts[1].reached_at().to_string()])?;
    let (_first, invite) = founder(&hosts[0])?;
    ready(&mut server)?;
    let at = |path: &str| format!("endpoint=http://{live}:8000{path} allow_http=true");
    let [mut by_droplets, mut by_instances] = [Broker::nowhere(&hosts[1])?, Broker::nowhere(&hosts[2])?];

    // What is wrong in a SPEC is said at once, and a token in it not repeated.
    for (spec, fix) in [
        (format!("provider=digitalocean tag_name=managers api_token={TOKEN}"), "api_token_file=FILE"),
        (
            "provider=digitalozean tag_name=managers".to_owned(),
            "there is no provider 'digitalozean' here: write provider=aws",
        ),
        ("provider=vultr tags=managers".to_owned(), "takes no key 'tags'. It takes: tag, label"),
    ] {
        let refused = by_droplets.run(&["up", "--discover", &spec])?;
        assert!(refused.code == 64 && refused.stderr.contains(fix) && !refused.stderr.contains(TOKEN), "{refused:?}");
    }
    let without = briefly(
        &by_droplets,
        &["--invite-file", &invite_file(&hosts[1], &invite)?, "--discover", "provider=vultr tag=a"],
    )?;
    assert!(without.code == 78 && without.stderr.contains("set VULTR_API_KEY"), "{without:?}");

    // What answers, but with no list, is told and passed over.
    let void = hosts[1].folder().join("void-token");
    write_private(&void, "dop_v1_void")?;
    by_droplets.with("DIGITALOCEAN_TOKEN", TOKEN);
    let file = invite_file(&hosts[1], &invite)?;
    let place = |path: &str| format!("provider=digitalocean tag_name=managers {}", at(path));
    let [huge, broken, types] = ["huge", "broken", "types"].map(|path| place(&format!("/hostile/{path}")));
    let void = format!("{} api_token_file={}", place(""), void.display());
    let all = ["--discover", &huge, "--discover", &broken, "--discover", &types, "--discover", &void];
    let hostile = briefly(&by_droplets, &[&["--invite-file", &*file, "--log", "trace"], &all[..]].concat())?;
    for told in ["more than 4194304 bytes", "no list of droplets", "the token is not good", "no broker answered"] {
        assert!(hostile.stderr.contains(told), "{told}: {}", hostile.stderr);
    }
    assert!(hostile.code == 69 && !hostile.stderr.contains(TOKEN), "{hostile:?}");
    assert_eq!(hosts[1].swarm_state()?.trim(), "inactive");

    let spec = format!("{} region=fra1", place(""));
    by_droplets.up_with(&["--invite-file", &file, "--discover", &spec, "--log", "trace"])?;
    let private = hosts[2].folder().join("token");
    write_private(&private, TOKEN)?;
    let spec = format!("provider=vultr region=fra tag=managers {} api_token_file={}", at(""), private.display());
    let file = invite_file(&hosts[2], &invite)?;
    by_instances.up_with(&["--invite-file", &file, "--discover", &spec, "--log", "trace"])?;
    for broker in [&mut by_droplets, &mut by_instances] {
        let told = broker.process()?.stderr();
        assert!(told.contains("looked for managers") && told.contains("found=2"), "{told}");
        assert!(!told.contains(TOKEN), "the token in the log");
    }
    assert_eq!(managers(&hosts[0])?, 3);
    Ok(())
}
