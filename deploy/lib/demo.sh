# What a newcomer meets: the development keys, a demo campaign, and lines to paste.
# shellcheck shell=bash

WRITE_KEY=dev-write-key # local default only: the production profile refuses both
ADMIN_KEY=dev-admin-key
DEMO_NAME='Demo: a cart of 40 or more'
DEMO_CAMPAIGN='{"name":"'$DEMO_NAME'","status":"active","type":"modal","trigger":"cart_viewed",
"rules":[{"id":1,"type":"event","field":"cart_total","operator":">=","value":"40"}],
"config":{"type":"modal","text":"Free delivery, just for you"}}'

# demo_campaign PORT: creates it unless there is one of that name; prints which.
demo_campaign() {
  local answer
  answer=$(http_request "$1" GET /v1/admin/campaigns '' "x-api-key: $ADMIN_KEY" || true)
  case "$answer" in
    200*"$DEMO_NAME"*) echo "already there" ;;
    200*)
      answer=$(http_request "$1" POST /v1/admin/campaigns "$DEMO_CAMPAIGN" "x-api-key: $ADMIN_KEY" || true)
      if [ "${answer%%$'\n'*}" != 201 ]; then die "the demo campaign was refused: ${answer:-no answer}"; fi
      echo created
      ;;
    *) die "the campaigns could not be listed: ${answer:-no answer}" ;;
  esac
}

# demo_lines PORT: three commands to try.
demo_lines() {
  local url=http://127.0.0.1:$1 json="-H 'content-type: application/json'"
  cat <<LINES
  curl -s $url/v1/identify -H 'x-api-key: $WRITE_KEY' $json -d '{"user_id":"ada","traits":{"plan":"pro"}}'
  curl -s $url/v1/track -H 'x-api-key: $WRITE_KEY' $json -d '{"user_id":"ada","event":"cart_viewed","properties":{"cart_total":59}}'
  curl -s '$url/v1/admin/events?limit=5' -H 'x-api-key: $ADMIN_KEY'
LINES
}
