//! Signatures of JSON web tokens, verified by ring, which TLS uses already. Nothing is signed here.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as BadSignature, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};

/// Those that a cluster signs its tokens with.
pub(super) const ALGORITHMS: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];

/// Makes `jsonwebtoken` use ring.
pub(super) fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(Error::from(ErrorKind::InvalidAlgorithm)),
        verifier_factory: |algorithm, key| {
            Ok(Box::new(Ring { algorithm: *algorithm, family: key.family(), key: key.kind().clone() }))
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    // Once is enough, whoever was first.
    let _ = PROVIDER.install_default();
}

struct Ring {
    algorithm: Algorithm,
    family: AlgorithmFamily,
    key: DecodingKeyKind,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), BadSignature> {
        let rsa = |parameters| self.rsa(parameters, message, signature);
        let ec = |parameters| self.ec(parameters, message, signature);
        match self.algorithm {
            Algorithm::RS256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => rsa(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => rsa(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::ES256 => ec(&ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => ec(&ECDSA_P384_SHA384_FIXED),
            _ => Err(BadSignature::new()),
        }
    }
}

impl Ring {
    fn rsa(&self, by: &RsaParameters, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match (self.family, &self.key) {
            (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(by, message, signature).map_err(|_| BadSignature::new())
            }
            _ => Err(BadSignature::new()),
        }
    }

    fn ec(
        &self,
        by: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        match (self.family, &self.key) {
            (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(by, point).verify(message, signature).map_err(|_| BadSignature::new())
            }
            _ => Err(BadSignature::new()),
        }
    }
}
