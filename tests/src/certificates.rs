//! Certificates of a test's own, made by openssl.

use std::path::Path;
use std::process::Command;

/// Makes an authority `<name>.pem` and, signed by it, a server's `<name>-server.pem` and `.key` for 127.0.0.1.
///
/// # Panics
/// When there is no openssl.
pub fn make_certificates(folder: &Path, name: &str) {
    let script = format!(
        "printf 'subjectAltName=IP:127.0.0.1\\n' >san
         openssl ecparam -genkey -name prime256v1 -noout -out {name}.key
         openssl req -x509 -new -key {name}.key -days 2 -subj /CN={name} -out {name}.pem
         openssl ecparam -genkey -name prime256v1 -noout -out {name}-server.key
         openssl req -new -key {name}-server.key -subj /CN=server -out server.csr
         openssl x509 -req -in server.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 2 -extfile san -out {name}-server.pem"
    );
    let output = Command::new("sh").args(["-ec", &script]).current_dir(folder).output().expect("sh can be run");
    assert!(output.status.success(), "openssl, which this test needs: {}", String::from_utf8_lossy(&output.stderr));
}
