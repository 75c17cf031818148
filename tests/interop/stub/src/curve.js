function absent() {
  throw new Error("libsignal is not installed here");
}
exports.calculateSignature = absent;
exports.generateKeyPair = absent;
exports.verifySignature = absent;
