// The segments by id, for rules that name one.
import { get } from "../api";
import { useLoad } from "../loading";

interface Listed {
  segments: { id: string; name?: string }[];
}

export function useSegments(): Map<string, string> {
  const list = useLoad((signal) => get<Listed>("v1/admin/segments", { query: { limit: 500 }, signal }), []);
  return new Map(list.data?.segments.map((segment) => [segment.id, segment.name ?? segment.id]));
}
