function absent() {
  throw new Error("libsignal is not installed here");
}
exports.calculateMAC = absent;
exports.decrypt = absent;
exports.deriveSecrets = absent;
exports.encrypt = absent;
