"""Fetches one file, with a client certificate or credentials if there are any.

Standard input has a JSON object:

  url          the address
  output       the file that is written
  cacert       certificates of the authorities that are trusted; without it
               those that the system trusts
  cert, key    the client's certificate and private key
  insecure     true if the server's certificate is not looked at
  authorization
               what is sent as the header Authorization

The exit code is REFUSED where the server answers that it will not send the
file, and 1 where it may do so at another time.
"""
import http.client
import json
import shutil
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

REFUSED = 44
# Seconds in which nothing comes.
TIMEOUT = 60

job = json.load(sys.stdin)


def fail(text, code=1):
    print(text, file=sys.stderr)
    sys.exit(code)


def server(url):
    return urllib.parse.urlsplit(url)[:2]


def authorize(req):
    """Adds the credentials, which no other server is sent."""
    if job.get("authorization") and server(req.full_url) == server(job["url"]):
        req.add_unredirected_header("Authorization", job["authorization"])
    return req


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows from HTTPS to HTTPS only: what was asked for in secret is not sent in the open."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.startswith("https://") and not (job["url"].startswith("http://") and newurl.startswith("http://")):
            fail("the server redirects to %s, which is not HTTPS" % newurl, REFUSED)
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        return new and authorize(new)


def no_password():
    fail("the client's private key is encrypted: give it without a password")


def tls():
    try:
        context = ssl.create_default_context(cafile=job.get("cacert"))
    except (OSError, ssl.SSLError) as e:
        fail("the certificates of authorities cannot be read: %s" % e)
    if job.get("insecure"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if job.get("cert"):
        try:
            context.load_cert_chain(job["cert"], job.get("key"), no_password)
        except (OSError, ssl.SSLError) as e:
            fail("the client's certificate or its private key cannot be used: %s" % e)
    return context


opener = urllib.request.OpenerDirector()
for handler in (
        urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=tls()), Redirects(), urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.UnknownHandler()):
    opener.add_handler(handler)
try:
    with opener.open(authorize(urllib.request.Request(job["url"])), timeout=TIMEOUT) as answer, open(job["output"], "wb") as out:
        shutil.copyfileobj(answer, out, 1 << 20)
        want = answer.headers.get("Content-Length")
        if want and int(want) != out.tell():
            fail("the connection ended after %d of %s bytes" % (out.tell(), want))
except urllib.error.HTTPError as e:
    fail("the server answers %d %s" % (e.code, e.reason), REFUSED if 400 <= e.code < 500 else 1)
except urllib.error.URLError as e:
    if isinstance(e.reason, ssl.SSLCertVerificationError) and not job.get("cacert"):
        fail("%s: no authority that the build root trusts vouches for the server; give the certificate of the one that does" % e.reason)
    fail(str(e.reason))
except (OSError, http.client.HTTPException) as e:
    fail(str(e) or type(e).__name__)
