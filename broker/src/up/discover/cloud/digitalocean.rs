//! Droplets with a tag: <https://docs.digitalocean.com/reference/api/digitalocean/#tag/Droplets/operation/droplets_list>.

use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::ask::{Answer, Asker, listed};
use super::{AddressKind, Cloud, Machine, Page, Trouble, pages, token};

const USUAL: &str = "https://api.digitalocean.com";
/// The most that it gives in one page.
const PER_PAGE: &str = "200";

/// The droplets that run.
pub(super) async fn machines(
    cloud: &Cloud,
    tag: &str,
    token: &token::Place,
    asker: &Asker,
) -> Result<Vec<Machine>, Trouble> {
    let bearer = token.bearer(asker.until()).await?;
    let mut number = 0_usize;
    pages(async |_: Option<()>| {
        number += 1;
        let mut query = Serializer::new(String::new());
        query.append_pair("tag_name", tag).append_pair("per_page", PER_PAGE).append_pair("page", &number.to_string());
        let url = format!("{}/v2/droplets?{}", cloud.endpoint(USUAL), query.finish());
        read(&asker.get(url, &bearer).await?, cloud, tag)
    })
    .await
}

#[derive(Deserialize)]
struct Listed {
    droplets: Vec<Droplet>,
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize, Default)]
struct Links {
    #[serde(default)]
    pages: Pages,
}

/// The page's own URL is not followed: the next number is asked for in its place.
#[derive(Deserialize, Default)]
struct Pages {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Droplet {
    name: String,
    status: String,
    region: Region,
    tags: Vec<String>,
    networks: Networks,
}

#[derive(Deserialize)]
struct Region {
    slug: String,
}

#[derive(Deserialize)]
struct Networks {
    #[serde(default)]
    v4: Vec<Network>,
    #[serde(default)]
    v6: Vec<Network>,
}

#[derive(Deserialize)]
struct Network {
    ip_address: String,
    #[serde(rename = "type")]
    kind: String,
}

fn read(answer: &Answer, cloud: &Cloud, tag: &str) -> Result<Page<()>, Trouble> {
    let listed: Listed = listed(answer, "DigitalOcean", "droplets")?;
    let meant = |droplet: &Droplet| {
        let here = cloud.region.as_ref().is_none_or(|region| *region == droplet.region.slug);
        // It takes tags for the same whatever their case is.
        let tagged = droplet.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        here && tagged && droplet.status == "active"
    };
    let machines = listed.droplets.into_iter().filter(meant).map(|droplet| machine(droplet, cloud.address)).collect();
    let next = listed.links.pages.next.filter(|next| !next.is_empty()).map(drop);
    Ok(Page { machines, next })
}

fn machine(droplet: Droplet, address: AddressKind) -> Machine {
    let (networks, kind) = match address {
        AddressKind::PrivateV4 => (droplet.networks.v4, "private"),
        AddressKind::PublicV4 => (droplet.networks.v4, "public"),
        AddressKind::V6 => (droplet.networks.v6, "public"),
    };
    let of_kind = networks.into_iter().filter(|network| network.kind == kind);
    Machine { name: droplet.name, addresses: of_kind.map(|network| network.ip_address).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, passing};
    use super::*;

    fn read_for(spec: &str, status: u16, body: &str) -> Result<Page<()>, Trouble> {
        read(&answer(status, body), &super::super::read(spec).expect("reads"), "managers")
    }

    const SPEC: &str = "provider=digitalocean region=nyc3 tag_name=managers";

    /// In the shape of the documentation, without what is not read here.
    fn droplet(name: &str, status: &str, region: &str, tag: &str) -> String {
        format!(
            r#"{{"id":3164444,"name":"{name}","memory":1024,"vcpus":1,"locked":false,"status":"{status}","created_at":"2020-07-21T18:37:44Z",
            "networks":{{"v4":[{{"ip_address":"10.128.192.124","netmask":"255.255.0.0","gateway":"nil","type":"private"}},
            {{"ip_address":"192.241.165.154","netmask":"255.255.255.0","gateway":"192.241.165.1","type":"public"}}],
            "v6":[{{"ip_address":"2604:a880:0:1010::18a:a001","netmask":64,"gateway":"2604:a880:0:1010::1","type":"public"}}]}},
            "region":{{"name":"New York 3","slug":"{region}","available":true}},"tags":["{tag}"]}}"#
        )
    }

    #[test]
    fn droplets_that_run_in_the_region_are_meant_with_the_address_that_was_asked_for() {
        let all = [
            droplet("one", "active", "nyc3", "Managers"),
            droplet("off", "off", "nyc3", "managers"),
            droplet("elsewhere", "active", "fra1", "managers"),
            droplet("other", "active", "nyc3", "web"),
        ];
        let body = format!(
            r#"{{"droplets":[{}],"links":{{"pages":{{"next":"https://other.example/v2/droplets?page=2"}}}},"meta":{{"total":4}}}}"#,
            all.join(",")
        );
        for (kind, address) in [
            ("private_v4", "10.128.192.124"),
            ("public_v4", "192.241.165.154"),
            ("public_v6", "2604:a880:0:1010::18a:a001"),
        ] {
            let page = read_for(&format!("{SPEC} addr_type={kind}"), 200, &body).expect("reads");
            assert_eq!(page.machines, [Machine { name: "one".into(), addresses: vec![address.into()] }]);
            assert_eq!(page.next, Some(()));
        }
        let last = read_for(SPEC, 200, r#"{"droplets":[],"links":{},"meta":{"total":0}}"#).expect("reads");
        assert_eq!(last, Page { machines: vec![], next: None });
    }

    #[test]
    fn what_is_no_list_of_droplets_is_not_taken_for_an_empty_one() {
        for body in
            ["", "{}", "[]", "<html>", r#"{"droplets":null}"#, r#"{"droplets":[{"name":7}]}"#, r#"{"droplets":{}}"#]
        {
            assert!(passing(read_for(SPEC, 200, body)).contains("no list of droplets"), "{body}");
        }
        let refused = r#"{"id":"unauthorized","message":"Unable to authenticate you"}"#;
        assert!(passing(read_for(SPEC, 401, refused)).contains("the token is not good"));
        assert!(passing(read_for(SPEC, 302, "")).contains("look at endpoint"));
    }
}
