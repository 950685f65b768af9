use super::*;

fn reason(url: &str, create: bool) -> String {
    Location::parse(url, create).unwrap_err().to_string()
}

#[test]
fn memory_is_private_without_a_name() {
    assert_eq!(Location::parse("memory://", true).unwrap().kind, LocationKind::Private);
    assert_eq!(Location::parse("memory://name", true).unwrap().kind, LocationKind::Shared);
}

#[test]
fn a_path_and_a_file_url_are_one_directory() {
    let path = std::env::temp_dir().join(format!("refrain-location-{}", std::process::id()));
    let made = Location::parse(path.to_str().unwrap(), true).unwrap();
    let by_url = Location::parse(&format!("file://{}", path.display()), false).unwrap();
    assert_eq!(made.kind, by_url.kind);
    assert!(matches!(made.kind, LocationKind::Directory(root) if root.is_absolute()));
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    assert_eq!(reason("", true), "store \"\" cannot be used: it is empty");
    assert_eq!(reason("/no/such/place", false), "store \"/no/such/place\" cannot be used: there is no such directory");
    assert_eq!(reason("/dev/null", true), "store \"/dev/null\" cannot be used: it is not a directory");
    assert_eq!(
        reason("file://elsewhere/x", true),
        "store \"file://elsewhere/x\" cannot be used: it does not name a path of this machine"
    );
    assert!(reason("gopher://x/y", true).starts_with("store \"gopher://x/y\" cannot be used: "));
}

#[test]
fn services_are_known_by_their_scheme() {
    let location = Location::parse("s3://bucket/some/prefix", true).unwrap();
    assert_eq!(location.kind, LocationKind::Remote);
    assert!(format!("{:?}", location.bucket).ends_with("/some/prefix"));
}
